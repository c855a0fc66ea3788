"""The quickstart for programs that run on asyncio. Needs aiohttp."""

import asyncio
import os

from azure.communication.identity import CommunicationUserIdentifier
from azure.communication.identity.aio import CommunicationIdentityClient


async def main() -> None:
    connection_string = os.environ["AZURE_COMMUNICATION_CONNECTION_STRING"]
    # Closes its connections at the end of the block.
    async with CommunicationIdentityClient.from_connection_string(connection_string) as client:
        alice = await client.create_user()
        print("created", alice.properties["id"])

        calls = await client.get_token(alice, ["voip"])
        print("issued a token for calls, good until", calls.expires_on)

        # Two requests at once: an identity with its first token, and a token for chat and calls.
        (bob, first), both = await asyncio.gather(
            client.create_user_and_token(["chat"]),
            client.get_token(alice, ["chat", "voip"]),
        )
        print("created", bob.properties["id"], "with a token good until", first.expires_on)
        print("issued a token for chat and calls, good until", both.expires_on)

        kept = CommunicationUserIdentifier(alice.properties["id"])
        following = await client.get_token(kept, ["chat", "voip"])
        print("issued the next token for Alice, good until", following.expires_on)

        await client.revoke_tokens(alice)
        print("revoked all tokens of Alice")

        await asyncio.gather(client.delete_user(alice), client.delete_user(bob))
        print("deleted both")


asyncio.run(main())
