// Does one thing that goes wrong and shows what a program gets to see of it. Arguments: connection string, or endpoint and
// key; PROBLEM_ID names an identity to delete instead of creating one.
import { CommunicationIdentityClient } from '@azure/communication-identity';
import { AzureKeyCredential } from '@azure/core-auth';

const [where, key] = process.argv.slice(2);
try {
  const client = key
    ? new CommunicationIdentityClient(where, new AzureKeyCredential(key))
    : new CommunicationIdentityClient(where);
  if (process.env.PROBLEM_ID) await client.deleteUser({ communicationUserId: process.env.PROBLEM_ID });
  else await client.createUser();
  console.log('no problem');
} catch (error) {
  console.log(`${error.name}: ${error.message}`);
  const reason = error.response?.headers.get('x-linarite-reason');
  console.log(error.statusCode, error.code, reason ? `x-linarite-reason: ${reason}` : '');
}
