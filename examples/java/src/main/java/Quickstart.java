import com.azure.communication.common.CommunicationUserIdentifier;
import com.azure.communication.identity.CommunicationIdentityClient;
import com.azure.communication.identity.CommunicationIdentityClientBuilder;
import com.azure.communication.identity.models.CommunicationTokenScope;
import com.azure.communication.identity.models.CommunicationUserIdentifierAndToken;
import com.azure.core.credential.AccessToken;
import java.util.List;

/** Identities and access tokens from creation to deletion. Works with every release of the SDK since 1.0.0. */
public class Quickstart {
    public static void main(String[] args) {
        String connectionString = System.getenv("AZURE_COMMUNICATION_CONNECTION_STRING");
        if (connectionString == null) {
            System.err.println(
                    "AZURE_COMMUNICATION_CONNECTION_STRING is not set: it is the line that the server printed.");
            System.exit(2);
        }
        CommunicationIdentityClient client =
                new CommunicationIdentityClientBuilder().connectionString(connectionString).buildClient();

        // One identity for each person of yours. Keep its id beside the account: identities cannot be listed.
        CommunicationUserIdentifier alice = client.createUser();
        System.out.println("created " + alice.getId());

        // A token is what Alice's app works with. This one permits calls, for a day.
        AccessToken calls = client.getToken(alice, List.of(CommunicationTokenScope.VOIP));
        System.out.println("issued a token for calls, good until " + calls.getExpiresAt());

        // What a token permits is a list. A token for both: calls and chat.
        List<CommunicationTokenScope> chatAndCalls = List.of(CommunicationTokenScope.CHAT, CommunicationTokenScope.VOIP);
        AccessToken both = client.getToken(alice, chatAndCalls);
        System.out.println("issued a token for chat and calls, good until " + both.getExpiresAt());

        // An identity and its first token in one request.
        CommunicationUserIdentifierAndToken made = client.createUserAndToken(List.of(CommunicationTokenScope.CHAT));
        CommunicationUserIdentifier bob = made.getUser();
        System.out.println("created " + bob.getId() + " with a token good until " + made.getUserToken().getExpiresAt());

        // Tokens are not prolonged: before one ends, issue the next, from the id that you kept.
        CommunicationUserIdentifier kept = new CommunicationUserIdentifier(alice.getId());
        AccessToken next = client.getToken(kept, chatAndCalls);
        System.out.println("issued the next token for Alice, good until " + next.getExpiresAt());

        // Alice lost her phone: every token she ever had ends now. New ones can be issued at once.
        client.revokeTokens(alice);
        System.out.println("revoked all tokens of Alice");

        // Accounts that are closed: the identity goes, with its tokens.
        client.deleteUser(alice);
        client.deleteUser(bob);
        System.out.println("deleted both");
    }
}
