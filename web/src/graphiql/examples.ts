/** What a new headers box holds. Without a token behind `Bearer` no Authorization is sent. */
export const EMPTY_HEADERS = `{
  "Authorization": "Bearer "
}`;

const SIGN_UP = `# Run this first. The token that comes back
# goes into the headers box of every tab.
mutation SignUp($input: RegisterInput!) {
  register(input: $input) {
    user {
      id
      handle
    }
    accessToken
    refreshToken
    accessTokenExpiresAt
    userErrors {
      code
      message
      path
    }
  }
}
`;

const SIGN_IN = `# An access token lasts some minutes. A new one
# takes the place of one that has run out.
mutation SignIn($input: LoginInput!) {
  login(input: $input) {
    user {
      id
      handle
    }
    accessToken
    refreshToken
    accessTokenExpiresAt
    userErrors {
      code
      message
      path
    }
  }
}
`;

const CREATE_CONVERSATION = `# The id of the conversation goes into the
# variables of the tabs that need one.
mutation CreateConversation(
  $input: CreateConversationInput!
) {
  createConversation(input: $input) {
    conversation {
      id
      kind
      title
      memberCount
      lastSequence
      cursor
    }
    userErrors {
      code
      message
      path
    }
  }
}
`;

const SEND_MESSAGE = `# Sent again with the same clientMessageId it
# returns the message that is already stored;
# each new message needs one of its own.
mutation SendMessage($input: SendMessageInput!) {
  sendMessage(input: $input) {
    message {
      id
      sequence
      body
      sender {
        handle
      }
      clientMessageId
      version
      createdAt
    }
    userErrors {
      code
      message
      path
    }
  }
}
`;

const LISTEN = `# Keep this running in one window and send
# messages in another. With the cursor of an
# earlier event as "after" it begins there.
subscription Listen($conversationId: ID!, $after: String) {
  conversationUpdates(
    conversationId: $conversationId
    after: $after
  ) {
    __typename
    ... on ConversationEvent {
      sequence
      cursor
      at
      actor {
        handle
      }
    }
    ... on MessageSent {
      message {
        id
        body
        sender {
          handle
        }
      }
    }
    ... on MemberAdded {
      member {
        user {
          handle
        }
        role
      }
    }
    ... on MemberRemoved {
      userId
    }
    ... on ConversationChanged {
      conversation {
        title
        memberCount
      }
    }
    ... on CaughtUp {
      sequence
      cursor
    }
    ... on ResyncRequired {
      reason
      cursor
    }
  }
}
`;

const READ = `query Read {
  viewer {
    user {
      id
      handle
      displayName
      createdAt
    }
    roles
    conversations(first: 10) {
      nodes {
        id
        kind
        title
        memberCount
        lastSequence
        cursor
        messages(last: 5) {
          nodes {
            id
            sequence
            body
            sender {
              handle
            }
            createdAt
          }
        }
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
  }
}
`;

const HEALTH = `# Needs no token.
query Health {
  health {
    status
    version
    instance
    uptimeSeconds
    components {
      name
      status
      latencyMs
      detail
      checkedAt
    }
  }
}
`;

interface Example {
  query: string;
  variables: string;
}

/** Return the tabs of a first visit: run in their order, each finds what it needs. */
export function examples(): Example[] {
  // A handle is never given twice, so each browser begins with one of its own.
  const handle = `ada_${crypto.getRandomValues(new Uint32Array(1))[0]!.toString(36)}`;
  const password = "correct horse battery staple";
  return [
    { query: SIGN_UP, variables: json({ input: { handle, password, displayName: "Ada" } }) },
    { query: SIGN_IN, variables: json({ input: { handle, password } }) },
    { query: CREATE_CONVERSATION, variables: json({ input: { title: "Engines", memberIds: [] } }) },
    {
      query: SEND_MESSAGE,
      variables: json({ input: { conversationId: "", body: "Hello!", clientMessageId: "hello-1" } }),
    },
    { query: LISTEN, variables: json({ conversationId: "" }) },
    { query: READ, variables: "" },
    { query: HEALTH, variables: "" },
  ];
}

function json(value: object): string {
  return JSON.stringify(value, null, 2);
}
