import com.azure.communication.common.CommunicationUserIdentifier;
import com.azure.communication.identity.CommunicationIdentityClient;
import com.azure.communication.identity.CommunicationIdentityClientBuilder;
import com.azure.core.credential.AzureKeyCredential;
import com.azure.core.exception.HttpResponseException;

/**
 * Does one thing that goes wrong and shows what a program gets to see of it. Arguments: connection string, or endpoint and
 * key; PROBLEM_ID names an identity to delete instead of creating one.
 */
public class SdkProblem {
    public static void main(String[] args) {
        try {
            CommunicationIdentityClientBuilder builder = new CommunicationIdentityClientBuilder();
            CommunicationIdentityClient client = args.length > 1
                    ? builder.endpoint(args[0]).credential(new AzureKeyCredential(args[1])).buildClient()
                    : builder.connectionString(args[0]).buildClient();
            String id = System.getenv("PROBLEM_ID");
            if (id != null) client.deleteUser(new CommunicationUserIdentifier(id));
            else client.createUser();
            System.out.println("no problem");
        } catch (RuntimeException error) {
            for (Throwable cause = error; cause != null; cause = cause.getCause()) System.out.println(cause);
            if (error instanceof HttpResponseException) {
                HttpResponseException refused = (HttpResponseException) error;
                System.out.println(refused.getResponse().getStatusCode() + " x-linarite-reason: "
                        + refused.getResponse().getHeaderValue("x-linarite-reason"));
            }
        }
        System.exit(0);
    }
}
