// Identities and access tokens from creation to deletion. Needs release 1.2.0 of the SDK or later, for the lifetime.
using Azure;
using Azure.Communication;
using Azure.Communication.Identity;
using Azure.Core;

string? connectionString = Environment.GetEnvironmentVariable("AZURE_COMMUNICATION_CONNECTION_STRING");
string? endpoint = Environment.GetEnvironmentVariable("AZURE_COMMUNICATION_ENDPOINT");
string? key = Environment.GetEnvironmentVariable("AZURE_COMMUNICATION_KEY");

CommunicationIdentityClient client;
if (endpoint is not null && key is not null)
{
    // For applications that keep the endpoint and the key apart.
    client = new CommunicationIdentityClient(new Uri(endpoint), new AzureKeyCredential(key));
}
else if (connectionString is not null)
{
    client = new CommunicationIdentityClient(connectionString);
}
else
{
    Console.Error.WriteLine("AZURE_COMMUNICATION_CONNECTION_STRING is not set: it is the line that the server printed.");
    return 2;
}

// One identity for each person of yours. Keep its id beside the account: identities cannot be listed.
CommunicationUserIdentifier alice = await client.CreateUserAsync();
Console.WriteLine($"created {alice.Id}");

// A token is what Alice's app works with. This one permits calls, for a day.
AccessToken calls = await client.GetTokenAsync(alice, scopes: new[] { CommunicationTokenScope.VoIP });
Console.WriteLine($"issued a token for calls, good until {calls.ExpiresOn:O}");

// The shortest life there is.
AccessToken hour = await client.GetTokenAsync(
    alice, scopes: new[] { CommunicationTokenScope.VoIP }, tokenExpiresIn: TimeSpan.FromMinutes(60));
Console.WriteLine($"issued a token for an hour, good until {hour.ExpiresOn:O}");

// What a token permits is a list. A token for both: calls and chat.
CommunicationTokenScope[] chatAndCalls = { CommunicationTokenScope.Chat, CommunicationTokenScope.VoIP };
AccessToken both = await client.GetTokenAsync(alice, scopes: chatAndCalls);
Console.WriteLine($"issued a token for chat and calls, good until {both.ExpiresOn:O}");

// An identity and its first token in one request.
CommunicationUserIdentifierAndToken made =
    await client.CreateUserAndTokenAsync(scopes: new[] { CommunicationTokenScope.Chat });
CommunicationUserIdentifier bob = made.User;
Console.WriteLine($"created {bob.Id} with a token good until {made.AccessToken.ExpiresOn:O}");

// Tokens are not prolonged: before one ends, issue the next, from the id that you kept.
var kept = new CommunicationUserIdentifier(alice.Id);
AccessToken next = await client.GetTokenAsync(kept, scopes: chatAndCalls);
Console.WriteLine($"issued the next token for Alice, good until {next.ExpiresOn:O}");

// Alice lost her phone: every token she ever had ends now. New ones can be issued at once.
await client.RevokeTokensAsync(alice);
Console.WriteLine("revoked all tokens of Alice");

// Accounts that are closed: the identity goes, with its tokens.
await client.DeleteUserAsync(alice);
await client.DeleteUserAsync(bob);
Console.WriteLine("deleted both");
return 0;
