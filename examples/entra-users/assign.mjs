// The service's part: who may get access tokens. node assign.mjs [--remove] OBJECT_ID
import { DefaultAzureCredential } from '@azure/identity';
import { CLIENT_ID, endpoint, TENANT_ID } from './directory.mjs';

const remove = process.argv.includes('--remove');
const objectId = process.argv.at(-1);
const { token } = await new DefaultAzureCredential().getToken('https://communication.azure.com/.default');
const response = await fetch(`${endpoint}/access/entra/assignments/${objectId}?api-version=2025-03-02-preview`, {
  method: remove ? 'DELETE' : 'PUT',
  headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
  ...(!remove && { body: JSON.stringify({ tenantId: TENANT_ID, principalType: 'user', clientIds: [CLIENT_ID] }) }),
});
if (!response.ok) {
  console.error(`${response.status} ${await response.text()}`);
  process.exit(1);
}
console.log(remove ? `${objectId} may not any more, and the tokens are ended` : `${objectId} may get access tokens`);
