// A token that ends after an hour, the shortest life there is. Needs release 1.2.0 of the SDK or later.
import { CommunicationIdentityClient } from '@azure/communication-identity';

const client = new CommunicationIdentityClient(process.env.AZURE_COMMUNICATION_CONNECTION_STRING ?? '');

const user = await client.createUser();
const { expiresOn } = await client.getToken(user, ['voip'], { tokenExpiresInMinutes: 60 });
console.log(`issued a token for ${Math.round((expiresOn - Date.now()) / 60_000)} minutes`);
await client.deleteUser(user);
