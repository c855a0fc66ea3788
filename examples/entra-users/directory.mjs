// The directory that users sign in to: here the server's development directory.
export const endpoint = (process.env.AZURE_COMMUNICATION_ENDPOINT ?? '').replace(/\/$/, '');
if (!endpoint) {
  console.error('AZURE_COMMUNICATION_ENDPOINT is not set: it is the endpoint that the server printed.');
  process.exit(2);
}

/** Tenant of the users. */
export const TENANT_ID = '5e1f0057-0000-4000-8000-00000000007e';
/** The application through which they come. */
export const CLIENT_ID = '5e1f0057-0000-4000-8000-0000000000c1';
/** Where they sign in. For Entra: `{ tenantId: TENANT_ID }` and nothing else. */
export const AUTHORITY = { authorityHost: endpoint, tenantId: 'adfs', disableInstanceDiscovery: true };
