import com.azure.communication.common.CommunicationUserIdentifier;
import com.azure.communication.identity.CommunicationIdentityClient;
import com.azure.communication.identity.CommunicationIdentityClientBuilder;
import com.azure.core.credential.AzureKeyCredential;

/** The same client made from an endpoint and a key, for applications that keep the two apart. */
public class EndpointAndKey {
    public static void main(String[] args) {
        String endpoint = System.getenv("AZURE_COMMUNICATION_ENDPOINT");
        CommunicationIdentityClient client = new CommunicationIdentityClientBuilder()
                .endpoint(endpoint)
                .credential(new AzureKeyCredential(System.getenv("AZURE_COMMUNICATION_KEY")))
                .buildClient();

        CommunicationUserIdentifier user = client.createUser();
        System.out.println("created " + user.getId() + " at " + endpoint);
        client.deleteUser(user);
    }
}
