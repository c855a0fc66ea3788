// The user's part: signs in to the directory, and gets an access token for that. No service stands between.
import { AzureCommunicationTokenCredential } from '@azure/communication-common';
import { DeviceCodeCredential } from '@azure/identity';
import { AUTHORITY, CLIENT_ID, endpoint } from './directory.mjs';

const tokenCredential = new DeviceCodeCredential({
  ...AUTHORITY,
  clientId: CLIENT_ID,
  userPromptCallback: ({ message }) => console.log(message),
});
// Takes the directory's token to the server, and from there an access token with the scopes that are asked for here.
const credential = new AzureCommunicationTokenCredential({
  resourceEndpoint: endpoint,
  tokenCredential,
  scopes: ['https://communication.azure.com/clients/Chat', 'https://communication.azure.com/clients/VoIP'],
});

try {
  const { token } = await credential.getToken();
  const response = await fetch(`${endpoint}/-/whoami`, { headers: { Authorization: `Bearer ${token}` } });
  const { identity, scopes, expiresOn } = await response.json();
  console.log(`signed in as ${identity.id} for ${scopes.join(' and ')} until ${expiresOn}`);
} catch (cause) {
  console.error(`no token: ${cause.message}`);
  process.exitCode = 1;
} finally {
  credential.dispose();
}
