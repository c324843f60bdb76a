#!/bin/sh
# Brings the cluster that kubectl is set up for to what an overlay says: all that processes need, then `parley migrate`,
# then the processes, until they are ready. The secrets must be there (docs/kubernetes.md).
#   deploy/kubernetes/deploy.sh production [image, by its digest, instead of the overlay's]
set -eu
cd "$(dirname "$0")"
overlay=overlays/${1:?which overlay? one of: $(ls overlays | tr '\n' ' ')}
[ -d "$overlay" ] || { echo "There is no $overlay." >&2; exit 1; }
work=$(mktemp -d .deploying.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
manifests=$work/manifests.yaml
cat >"$work/kustomization.yaml" <<END
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../$overlay]
END
if [ -n "${2:-}" ]; then
  cat >>"$work/kustomization.yaml" <<END
images:
  - name: $(sed -n 's/^ *newName: //p' "$overlay/kustomization.yaml")
    newName: ${2%@*}
    digest: ${2#*@}
END
fi
kubectl kustomize "$work" >"$manifests"
namespace=$(sed -n 's/^namespace: //p' "$overlay/kustomization.yaml")

kubectl apply --filename "$manifests" --selector 'app.kubernetes.io/component=namespace'
kubectl --namespace "$namespace" get secret parley >/dev/null || {
  echo "Make the secret \`parley\` in $namespace first, from the files of \`make secrets\`." >&2
  exit 1
}
# A job cannot be changed, and a new version has to run it again.
kubectl --namespace "$namespace" delete job migrate --ignore-not-found --wait
kubectl apply --filename "$manifests" --selector 'app.kubernetes.io/component notin (api, worker)'
kubectl --namespace "$namespace" wait --for condition=complete --timeout 10m job/migrate
kubectl apply --filename "$manifests"
for deployment in api worker; do
  kubectl --namespace "$namespace" rollout status --timeout 15m "deployment/$deployment"
done
