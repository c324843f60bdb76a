/**
 * @generated SignedSource<<9528e64bdc0debd412d5304c92c26105>>
 * @lightSyntaxTransform
 */

/* tslint:disable */
/* eslint-disable */
// @ts-nocheck

import { ConcreteRequest } from 'relay-runtime';
export type ResyncReason = "EPOCH_CHANGED" | "NOT_VISIBLE" | "TOO_FAR_BEHIND" | "%future added value";
export type relayInboxSubscription$variables = {
  after?: ReadonlyArray<string> | null | undefined;
};
export type relayInboxSubscription$data = {
  readonly inboxUpdates: {
    readonly __typename: string;
    readonly conversationId?: string;
    readonly cursor?: string;
    readonly deliveredSequence?: number;
    readonly message?: {
      readonly body: string | null | undefined;
      readonly clientMessageId: string | null | undefined;
      readonly id: string;
      readonly sequence: number;
    };
    readonly readSequence?: number;
    readonly reason?: ResyncReason;
    readonly sequence?: number;
    readonly userId?: string;
  };
};
export type relayInboxSubscription = {
  response: relayInboxSubscription$data;
  variables: relayInboxSubscription$variables;
};

const node: ConcreteRequest = (function(){
var v0 = [
  {
    "defaultValue": null,
    "kind": "LocalArgument",
    "name": "after"
  }
],
v1 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "conversationId",
  "storageKey": null
},
v2 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "sequence",
  "storageKey": null
},
v3 = {
  "alias": null,
  "args": null,
  "kind": "ScalarField",
  "name": "cursor",
  "storageKey": null
},
v4 = [
  (v1/*:: as any*/),
  (v2/*:: as any*/),
  (v3/*:: as any*/)
],
v5 = [
  {
    "alias": null,
    "args": [
      {
        "kind": "Variable",
        "name": "after",
        "variableName": "after"
      }
    ],
    "concreteType": null,
    "kind": "LinkedField",
    "name": "inboxUpdates",
    "plural": false,
    "selections": [
      {
        "alias": null,
        "args": null,
        "kind": "ScalarField",
        "name": "__typename",
        "storageKey": null
      },
      {
        "kind": "InlineFragment",
        "selections": (v4/*:: as any*/),
        "type": "ConversationEvent",
        "abstractKey": "__isConversationEvent"
      },
      {
        "kind": "InlineFragment",
        "selections": [
          {
            "alias": null,
            "args": null,
            "concreteType": "Message",
            "kind": "LinkedField",
            "name": "message",
            "plural": false,
            "selections": [
              {
                "alias": null,
                "args": null,
                "kind": "ScalarField",
                "name": "id",
                "storageKey": null
              },
              (v2/*:: as any*/),
              {
                "alias": null,
                "args": null,
                "kind": "ScalarField",
                "name": "body",
                "storageKey": null
              },
              {
                "alias": null,
                "args": null,
                "kind": "ScalarField",
                "name": "clientMessageId",
                "storageKey": null
              }
            ],
            "storageKey": null
          }
        ],
        "type": "MessageSent",
        "abstractKey": null
      },
      {
        "kind": "InlineFragment",
        "selections": [
          (v1/*:: as any*/),
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "userId",
            "storageKey": null
          },
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "deliveredSequence",
            "storageKey": null
          },
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "readSequence",
            "storageKey": null
          }
        ],
        "type": "ReceiptMoved",
        "abstractKey": null
      },
      {
        "kind": "InlineFragment",
        "selections": (v4/*:: as any*/),
        "type": "CaughtUp",
        "abstractKey": null
      },
      {
        "kind": "InlineFragment",
        "selections": [
          (v1/*:: as any*/),
          {
            "alias": null,
            "args": null,
            "kind": "ScalarField",
            "name": "reason",
            "storageKey": null
          },
          (v3/*:: as any*/)
        ],
        "type": "ResyncRequired",
        "abstractKey": null
      }
    ],
    "storageKey": null
  }
];
return {
  "fragment": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Fragment",
    "metadata": null,
    "name": "relayInboxSubscription",
    "selections": (v5/*:: as any*/),
    "type": "Subscription",
    "abstractKey": null
  },
  "kind": "Request",
  "operation": {
    "argumentDefinitions": (v0/*:: as any*/),
    "kind": "Operation",
    "name": "relayInboxSubscription",
    "selections": (v5/*:: as any*/)
  },
  "params": {
    "cacheID": "ba150ee48e21cecec8dff97f9ff040af",
    "id": null,
    "metadata": {},
    "name": "relayInboxSubscription",
    "operationKind": "subscription",
    "text": "subscription relayInboxSubscription(\n  $after: [String!]\n) {\n  inboxUpdates(after: $after) {\n    __typename\n    ... on ConversationEvent {\n      __isConversationEvent: __typename\n      conversationId\n      sequence\n      cursor\n    }\n    ... on MessageSent {\n      message {\n        id\n        sequence\n        body\n        clientMessageId\n      }\n    }\n    ... on ReceiptMoved {\n      conversationId\n      userId\n      deliveredSequence\n      readSequence\n    }\n    ... on CaughtUp {\n      conversationId\n      sequence\n      cursor\n    }\n    ... on ResyncRequired {\n      conversationId\n      reason\n      cursor\n    }\n  }\n}\n"
  }
};
})();

(node as any).hash = "f704eb14ded2affd64421f883988a958";

export default node;
