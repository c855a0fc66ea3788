"""The same client made from an endpoint and a key, for applications that keep the two apart.

Needs release 1.4.0 of the SDK or later; before, the key itself stands in place of the credential.
"""

import os

from azure.communication.identity import CommunicationIdentityClient
from azure.core.credentials import AzureKeyCredential

# No slash behind: this SDK would sign a host name that ends with it.
endpoint = os.environ["AZURE_COMMUNICATION_ENDPOINT"].rstrip("/")
client = CommunicationIdentityClient(endpoint, AzureKeyCredential(os.environ["AZURE_COMMUNICATION_KEY"]))

user = client.create_user()
print("created", user.properties["id"], "at", endpoint)
client.delete_user(user)
