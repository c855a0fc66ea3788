// Identities and access tokens from creation to deletion. Works with every release of the SDK since 1.0.0.
import { CommunicationIdentityClient } from '@azure/communication-identity';

const connectionString = process.env.AZURE_COMMUNICATION_CONNECTION_STRING;
if (!connectionString) {
  console.error('AZURE_COMMUNICATION_CONNECTION_STRING is not set: it is the line that the server printed.');
  process.exit(2);
}
const client = new CommunicationIdentityClient(connectionString);
const until = (date) => date.toISOString();

// One identity for each person of yours. Keep its id beside the account: identities cannot be listed.
const alice = await client.createUser();
console.log(`created ${alice.communicationUserId}`);

// A token is what Alice's app works with. This one permits calls, for a day.
const calls = await client.getToken(alice, ['voip']);
console.log(`issued a token for calls, good until ${until(calls.expiresOn)}`);

// What a token permits is a list. A token for both: calls and chat.
const both = await client.getToken(alice, ['chat', 'voip']);
console.log(`issued a token for chat and calls, good until ${until(both.expiresOn)}`);

// An identity and its first token in one request.
const { user: bob, token, expiresOn } = await client.createUserAndToken(['chat']);
console.log(
  `created ${bob.communicationUserId} with a token of ${token.length} characters, good until ${until(expiresOn)}`,
);

// Tokens are not prolonged: before one ends, issue the next, from the id that you kept.
const kept = { communicationUserId: alice.communicationUserId };
const next = await client.getToken(kept, ['chat', 'voip']);
console.log(`issued the next token for Alice, good until ${until(next.expiresOn)}`);

// Alice lost her phone: every token she ever had ends now. New ones can be issued at once.
await client.revokeTokens(alice);
console.log('revoked all tokens of Alice');

// Accounts that are closed: the identity goes, with its tokens.
await client.deleteUser(alice);
await client.deleteUser(bob);
console.log('deleted both');
