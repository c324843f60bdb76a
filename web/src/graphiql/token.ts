/** The token in the value of an Authorization header; none while it is the empty `Bearer ` of a new headers box. */
export function tokenOf(authorization: string | null | undefined): string | undefined {
  return authorization?.replace(/^Bearer\b/i, "").trim() || undefined;
}

/** Whether an access token has run out. One that cannot be read has not: that is for the server to judge. */
export function isExpired(token: string): boolean {
  try {
    const claims = JSON.parse(atob(token.split(".")[1]!.replaceAll("-", "+").replaceAll("_", "/"))) as { exp: number };
    return claims.exp * 1000 < Date.now();
  } catch {
    return false;
  }
}
