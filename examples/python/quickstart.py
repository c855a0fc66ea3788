"""Identities and access tokens from creation to deletion. Works with every release of the SDK since 1.0.0."""

import os
import sys

from azure.communication.identity import CommunicationIdentityClient, CommunicationUserIdentifier

connection_string = os.environ.get("AZURE_COMMUNICATION_CONNECTION_STRING")
if not connection_string:
    print("AZURE_COMMUNICATION_CONNECTION_STRING is not set: it is the line that the server printed.", file=sys.stderr)
    sys.exit(2)
client = CommunicationIdentityClient.from_connection_string(connection_string)

# One identity for each person of yours. Keep its id beside the account: identities cannot be listed.
alice = client.create_user()
print("created", alice.properties["id"])

# A token is what Alice's app works with. This one permits calls, for a day.
calls = client.get_token(alice, ["voip"])
print("issued a token for calls, good until", calls.expires_on)

# What a token permits is a list. A token for both: calls and chat.
both = client.get_token(alice, ["chat", "voip"])
print("issued a token for chat and calls, good until", both.expires_on)

# An identity and its first token in one request.
bob, first = client.create_user_and_token(["chat"])
print("created", bob.properties["id"], "with a token of", len(first.token), "characters, good until", first.expires_on)

# Tokens are not prolonged: before one ends, issue the next, from the id that you kept.
kept = CommunicationUserIdentifier(alice.properties["id"])
following = client.get_token(kept, ["chat", "voip"])
print("issued the next token for Alice, good until", following.expires_on)

# Alice lost her phone: every token she ever had ends now. New ones can be issued at once.
client.revoke_tokens(alice)
print("revoked all tokens of Alice")

# Accounts that are closed: the identity goes, with its tokens.
client.delete_user(alice)
client.delete_user(bob)
print("deleted both")
