"""A token that ends after an hour, the shortest life there is. Needs release 1.3.0 of the SDK or later."""

import os
from datetime import timedelta

from azure.communication.identity import CommunicationIdentityClient

client = CommunicationIdentityClient.from_connection_string(os.environ["AZURE_COMMUNICATION_CONNECTION_STRING"])

user = client.create_user()
token = client.get_token(user, ["voip"], token_expires_in=timedelta(minutes=60))
print("issued a token for an hour, good until", token.expires_on)
client.delete_user(user)
