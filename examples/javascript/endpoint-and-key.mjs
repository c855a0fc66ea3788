// The same client made from an endpoint and a key, for applications that keep the two apart.
import { CommunicationIdentityClient } from '@azure/communication-identity';
import { AzureKeyCredential } from '@azure/core-auth';

const endpoint = process.env.AZURE_COMMUNICATION_ENDPOINT ?? '';
const key = process.env.AZURE_COMMUNICATION_KEY ?? '';
const client = new CommunicationIdentityClient(endpoint, new AzureKeyCredential(key));

const user = await client.createUser();
console.log(`created ${user.communicationUserId} at ${endpoint}`);
await client.deleteUser(user);
