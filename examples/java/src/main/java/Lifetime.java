import com.azure.communication.common.CommunicationUserIdentifier;
import com.azure.communication.identity.CommunicationIdentityClient;
import com.azure.communication.identity.CommunicationIdentityClientBuilder;
import com.azure.communication.identity.models.CommunicationTokenScope;
import com.azure.core.credential.AccessToken;
import java.time.Duration;
import java.util.List;

/** A token that ends after an hour, the shortest life there is. Needs release 1.4.0 of the SDK or later. */
public class Lifetime {
    public static void main(String[] args) {
        CommunicationIdentityClient client = new CommunicationIdentityClientBuilder()
                .connectionString(System.getenv("AZURE_COMMUNICATION_CONNECTION_STRING"))
                .buildClient();

        CommunicationUserIdentifier user = client.createUser();
        AccessToken token = client.getToken(user, List.of(CommunicationTokenScope.VOIP), Duration.ofMinutes(60));
        System.out.println("issued a token for an hour, good until " + token.getExpiresAt());
        client.deleteUser(user);
    }
}
