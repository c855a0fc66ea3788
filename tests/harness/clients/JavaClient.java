import com.azure.communication.common.CommunicationTokenCredential;
import com.azure.communication.common.CommunicationUserIdentifier;
import com.azure.communication.identity.CommunicationIdentityClient;
import com.azure.communication.identity.CommunicationIdentityClientBuilder;
import com.azure.communication.identity.CommunicationIdentityServiceVersion;
import com.azure.communication.identity.models.CommunicationTokenScope;
import com.azure.communication.identity.models.CommunicationUserIdentifierAndToken;
import com.azure.core.credential.AccessToken;
import com.azure.core.credential.AzureKeyCredential;
import com.azure.core.credential.TokenCredential;
import com.azure.core.exception.HttpResponseException;
import com.azure.identity.ClientSecretCredentialBuilder;
import com.azure.identity.DefaultAzureCredentialBuilder;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.time.temporal.ChronoUnit;
import java.util.Arrays;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * The Java SDK as a program uses it: run by run.ts in a process of its own, one release at a time. What only later releases
 * have is looked up when it runs, so that one source serves all.
 */
public class JavaClient {
    private static final double TOLERANCE = 0.05;
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final HttpClient HTTP = HttpClient.newHttpClient();

    private static JsonNode task;
    private static String endpoint;
    private static String key;
    private static CommunicationIdentityClient client;

    /** This release cannot be asked for it. */
    private static class Absent extends Exception {
        Absent(String why) {
            super(why);
        }
    }

    private interface Work {
        void run() throws Exception;
    }

    public static void main(String[] args) throws Exception {
        task = JSON.readTree(args[0]);
        endpoint = "https://localhost:" + task.get("port").asInt() + "/";
        key = task.get("key").asText();
        client = connected(task.get("connectionString").asText());

        // The credentials are a library of their own, which brings later releases of what the SDK stands on.
        if (task.get("client").asText().equals("credentials")) {
            withoutKey();
        } else {
            withKey();
        }
        // The HTTP client's threads would keep the process for a while.
        System.exit(0);
    }

    private static void withKey() throws Exception {
        operation("create", () -> assertUser(client.createUser()));
        operation("create-with-token", JavaClient::createWithToken);
        operation("issue", JavaClient::issue);
        for (String scopes : List.of(
                "chat",
                "voip",
                "chat voip",
                "chat.join",
                "chat.join.limited",
                "voip.join",
                "chat chat.join chat.join.limited",
                "voip voip.join",
                "chat.join voip.join")) {
            operation("scopes " + scopes, () -> scopes(List.of(scopes.split(" "))));
        }
        for (int minutes : new int[] {60, 1440}) operation("lifetime " + minutes, () -> lifetime(minutes));
        for (int minutes : new int[] {59, 1441}) operation("lifetime " + minutes, () -> lifetimeRefused(minutes));
        operation("issue-empty-scopes", () -> {
            CommunicationUserIdentifier user = client.createUser();
            assertRefused(() -> client.getToken(user, List.of()), 400, "Invalid scopes - Scopes field is required.");
        });
        operation("issue-null-scopes", JavaClient::issueNullScopes);
        operation("create-empty-scopes", JavaClient::createEmptyScopes);
        operation("foreign-identity", JavaClient::foreignIdentity);
        operation("revoke", JavaClient::revoke);
        operation("delete", JavaClient::delete);
        operation("custom-id", () -> {
            throw new Absent("no published release has it");
        });
        operation("older-versions", () -> {
            for (CommunicationIdentityServiceVersion version : CommunicationIdentityServiceVersion.values()) {
                walk(new CommunicationIdentityClientBuilder()
                        .connectionString(task.get("connectionString").asText())
                        .serviceVersion(version)
                        .buildClient());
            }
        });
        operation("secondary-key", () -> walk(connected(task.get("secondaryConnectionString").asText())));
        operation("wrong-key", () -> {
            String wrong = Base64.getEncoder().encodeToString(new byte[64]);
            CommunicationIdentityClient unknownCaller = connected("endpoint=" + endpoint + ";accesskey=" + wrong);
            assertRefused(unknownCaller::createUser, 401, "Denied by the resource provider.");
        });
        String bare = endpoint.replaceFirst("/$", "");
        operation("endpoint-and-key", () -> walk(at(bare)));
        operation("with-slash", () -> walk(at(endpoint)));
        operation("without-slash", () -> walk(connected("endpoint=" + bare + ";accesskey=" + key)));
        operation("loopback-address", () ->
                walk(connected("endpoint=" + endpoint.replace("localhost", "127.0.0.1") + ";accesskey=" + key)));
        operation("plain-http", JavaClient::plainHttp);
        operation("token-credential", () -> {
            AccessToken token = client.createUserAndToken(list("chat")).getUserToken();
            try (CommunicationTokenCredential credential = new CommunicationTokenCredential(token.getToken())) {
                AccessToken held = credential.getToken().block();
                check(held.getToken().equals(token.getToken()), "another token");
                long off = ChronoUnit.MINUTES.between(held.getExpiresAt(), token.getExpiresAt());
                check(off == 0, "off by " + off + " minutes");
            }
        });
        operation("parallel", () -> {
            List<String> ids = IntStream.range(0, 20).parallel()
                    .mapToObj(number -> client.createUser().getId()).collect(Collectors.toList());
            check(new TreeSet<>(ids).size() == 20, "ids repeat");
        });
        exchanges("key", client);
    }

    private static void withoutKey() throws Exception {
        TokenCredential machine = new DefaultAzureCredentialBuilder().build();
        operation("entra managed-identity", () -> walkWithout(machine));
        operation("entra client-secret", () -> {
            JsonNode application = task.get("application");
            walkWithout(new ClientSecretCredentialBuilder()
                    .authorityHost(endpoint)
                    .tenantId(application.get("tenant").asText())
                    .clientId(application.get("id").asText())
                    .clientSecret(application.get("secret").asText())
                    .build());
        });
        operation("entra management", () -> {
            throw new Absent("it is another package, run in other languages");
        });
        exchanges("entra", without(endpoint, machine));
    }

    private static void createWithToken() {
        CommunicationUserIdentifierAndToken made = client.createUserAndToken(list("chat"));
        assertUser(made.getUser());
        assertToken(made.getUserToken(), 1440);
    }

    private static void issue() throws Exception {
        CommunicationUserIdentifier user = client.createUser();
        for (AccessToken token : List.of(client.getToken(user, list("voip")), client.getToken(user, list("voip")))) {
            assertToken(token, 1440);
            check(statusOf(token) == 200, "not accepted");
        }
    }

    private static void scopes(List<String> names) throws Exception {
        boolean offered = Arrays.stream(CommunicationTokenScope.class.getFields())
                .anyMatch(field -> field.getName().equals("CHAT_JOIN"));
        if (!offered && names.stream().anyMatch(name -> name.contains("."))) {
            throw new Absent("this scope came with 1.5.0");
        }
        List<CommunicationTokenScope> scopes = list(names.toArray(new String[0]));
        CommunicationUserIdentifierAndToken made = client.createUserAndToken(scopes);
        assertScopes(made.getUserToken(), names);
        assertScopes(client.getToken(made.getUser(), scopes), names);
    }

    private static void lifetime(int minutes) throws Exception {
        CommunicationUserIdentifierAndToken made = (CommunicationUserIdentifierAndToken)
                lasting("createUserAndToken", list("chat"), Duration.ofMinutes(minutes));
        assertToken(made.getUserToken(), minutes);
        assertToken(
                (AccessToken) lasting("getToken", made.getUser(), list("chat"), Duration.ofMinutes(minutes)), minutes);
    }

    private static void lifetimeRefused(int minutes) throws Exception {
        CommunicationUserIdentifier user = client.createUser();
        Duration life = Duration.ofMinutes(minutes);
        assertRefused(() -> lasting("createUserAndToken", list("chat"), life), 400, "ExpiresInMinutes");
        assertRefused(() -> lasting("getToken", user, list("chat"), life), 400, "ExpiresInMinutes");
    }

    /** Calls the form of a method that takes a lifetime. */
    private static Object lasting(String name, Object... given) throws Exception {
        for (Method method : CommunicationIdentityClient.class.getMethods()) {
            Class<?>[] types = method.getParameterTypes();
            boolean fits = method.getName().equals(name)
                    && types.length == given.length
                    && types[types.length - 1] == Duration.class;
            if (!fits) continue;
            try {
                return method.invoke(client, given);
            } catch (InvocationTargetException cause) {
                throw (Exception) cause.getCause();
            }
        }
        throw new Absent("lifetimes came with 1.4.0");
    }

    private static void issueNullScopes() throws Exception {
        CommunicationUserIdentifier user = client.createUser();
        try {
            assertRefused(() -> client.getToken(user, null), 400, null);
        } catch (NullPointerException | IllegalArgumentException cause) {
            throw new Absent("the SDK refuses it by itself: " + cause.getClass().getSimpleName());
        }
    }

    /** The server answers without a token; the SDK then looks for the one that it did not ask for. */
    private static void createEmptyScopes() throws Exception {
        try {
            CommunicationUserIdentifierAndToken made = client.createUserAndToken(List.of());
            assertUser(made.getUser());
            check(made.getUserToken() == null || made.getUserToken().getToken() == null, "a token came with no scopes");
        } catch (NullPointerException expected) {
            check(String.valueOf(expected.getMessage()).contains("oken"), String.valueOf(expected.getMessage()));
        }
    }

    private static void foreignIdentity() throws Exception {
        for (JsonNode id : task.get("foreignIds")) {
            CommunicationUserIdentifier user = new CommunicationUserIdentifier(id.asText());
            String said = "Provided identity doesn't belong to the resource.";
            assertRefused(() -> client.getToken(user, list("chat")), 401, said);
            assertRefused(() -> client.revokeTokens(user), 401, said);
            assertRefused(() -> client.deleteUser(user), 401, said);
        }
    }

    private static void revoke() throws Exception {
        CommunicationUserIdentifierAndToken made = client.createUserAndToken(list("chat"));
        check(statusOf(made.getUserToken()) == 200, "not accepted before");
        client.revokeTokens(made.getUser());
        check(statusOf(made.getUserToken()) == 401, "accepted afterwards");
        check(statusOf(client.getToken(made.getUser(), list("chat"))) == 200, "a later token is not accepted");
    }

    private static void delete() throws Exception {
        CommunicationUserIdentifierAndToken made = client.createUserAndToken(list("chat"));
        client.deleteUser(made.getUser());
        check(statusOf(made.getUserToken()) == 401, "accepted afterwards");
        client.deleteUser(made.getUser());
    }

    private static void plainHttp() throws Exception {
        try {
            walk(connected("endpoint=" + endpoint.replace("https:", "http:") + ";accesskey=" + key));
        } catch (RuntimeException cause) {
            if (!String.valueOf(cause.getMessage()).contains("HTTPS protocol scheme")) throw cause;
            throw new Absent("the SDK refuses it by itself: " + cause.getMessage());
        }
    }

    private static CommunicationIdentityClient connected(String connectionString) {
        return new CommunicationIdentityClientBuilder().connectionString(connectionString).buildClient();
    }

    private static CommunicationIdentityClient at(String endpoint) {
        return new CommunicationIdentityClientBuilder()
                .endpoint(endpoint).credential(new AzureKeyCredential(key)).buildClient();
    }

    private static CommunicationIdentityClient without(String endpoint, TokenCredential credential) {
        return new CommunicationIdentityClientBuilder().endpoint(endpoint).credential(credential).buildClient();
    }

    /** The quickstart without a key, at either spelling of the endpoint. */
    private static void walkWithout(TokenCredential credential) {
        walk(without(endpoint, credential));
        walk(without(endpoint.replaceFirst("/$", ""), credential));
    }

    private static void exchanges(String proof, CommunicationIdentityClient service) throws Exception {
        JsonNode good = task.get("teamsUser");
        String token = good.get("token").asText();
        String app = good.get("appId").asText();
        String user = good.get("userId").asText();
        String nobody = "00000000-0000-0000-0000-000000000000";
        String invalid = "Provided access token is not valid.";
        operation("teams-user good " + proof, () -> {
            AccessToken exchanged = exchange(service, token, app, user);
            assertScopes(exchanged, List.of("chat", "voip"));
            long end = claimsOf(token).get("exp").asLong();
            check(claimsOf(exchanged.getToken()).get("exp").asLong() == end, "ends at another instant");
            check(exchanged.getExpiresAt().toEpochSecond() == end, exchanged.getExpiresAt() + ", not " + end);
            check(statusOf(exchanged) == 200, "not accepted");
        });
        operation("teams-user empty-token " + proof, () ->
                assertRefused(() -> exchange(service, "", app, user), 401, invalid));
        operation("teams-user malformed-token " + proof, () ->
                assertRefused(() -> exchange(service, "invalid", app, user), 401, invalid));
        operation("teams-user expired-token " + proof, () ->
                assertRefused(() -> exchange(service, good.get("expiredToken").asText(), app, user), 401, invalid));
        operation("teams-user empty-ids " + proof, () -> {
            assertRefused(() -> exchange(service, token, "", user), 400, "AppId: The AppId field is required.");
            assertRefused(() -> exchange(service, token, app, ""), 400, "UserId: The UserId field is required.");
        });
        operation("teams-user malformed-ids " + proof, () -> {
            assertRefused(() -> exchange(service, token, "invalid", user), 400, "Provided AppId has invalid format.");
            assertRefused(() -> exchange(service, token, app, "invalid"), 400, "Provided UserId has invalid format.");
        });
        operation("teams-user other-ids " + proof, () -> {
            assertRefused(
                    () -> exchange(service, token, nobody, user), 400, "AAD application is not the expected one.");
            assertRefused(
                    () -> exchange(service, token, app, nobody), 400, "Provided AAD token issued for unexpected user.");
        });
    }

    private static AccessToken exchange(CommunicationIdentityClient service, String token, String app, String user)
            throws Exception {
        Class<?> wish;
        try {
            wish = Class.forName("com.azure.communication.identity.models.GetTokenForTeamsUserOptions");
        } catch (ClassNotFoundException cause) {
            throw new Absent("the exchange came with 1.2.0");
        }
        Object made = wish.getConstructor(String.class, String.class, String.class).newInstance(token, app, user);
        try {
            return (AccessToken) CommunicationIdentityClient.class.getMethod("getTokenForTeamsUser", wish)
                    .invoke(service, made);
        } catch (InvocationTargetException cause) {
            throw (Exception) cause.getCause();
        }
    }

    private static List<CommunicationTokenScope> list(String... names) {
        return Arrays.stream(names).map(CommunicationTokenScope::fromString).collect(Collectors.toList());
    }

    private static void walk(CommunicationIdentityClient other) {
        CommunicationUserIdentifier user = other.createUser();
        assertUser(user);
        assertToken(other.getToken(user, list("chat")), 1440);
        other.revokeTokens(user);
        other.deleteUser(user);
    }

    private static void check(boolean holds, String otherwise) {
        if (!holds) throw new AssertionError(otherwise);
    }

    private static void assertUser(CommunicationUserIdentifier user) {
        String pattern = "8:acs:" + task.get("resourceId").asText() + "_[0-9a-f-]{36}";
        check(user.getId().matches(pattern), user.getId());
    }

    private static void assertToken(AccessToken token, int minutes) {
        check(token.getToken().split("\\.").length == 3, "not a JWT");
        double lives = ChronoUnit.SECONDS.between(OffsetDateTime.now(), token.getExpiresAt()) / 60.0;
        check(Math.abs(lives - minutes) <= minutes * TOLERANCE, "lives for " + lives + " minutes, not " + minutes);
    }

    private static JsonNode claimsOf(String jwt) throws Exception {
        return JSON.readTree(Base64.getUrlDecoder().decode(jwt.split("\\.")[1]));
    }

    private static void assertScopes(AccessToken token, List<String> scopes) throws Exception {
        String granted = claimsOf(token.getToken()).get("acsScope").asText();
        check(new TreeSet<>(List.of(granted.split(","))).equals(new TreeSet<>(scopes)), granted);
    }

    private static void assertRefused(Work work, int status, String message) throws Exception {
        try {
            work.run();
        } catch (HttpResponseException cause) {
            int got = cause.getResponse().getStatusCode();
            check(got == status, got + ": " + cause.getMessage());
            check(message == null || cause.getMessage().contains(message), cause.getMessage());
            return;
        }
        throw new AssertionError("not refused with " + status);
    }

    /** What the server tells a holder of the token: 200 while it holds, 401 from then on. */
    private static int statusOf(AccessToken token) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(endpoint + "-/whoami"))
                .header("Authorization", "Bearer " + token.getToken()).build();
        return HTTP.send(request, HttpResponse.BodyHandlers.discarding()).statusCode();
    }

    private static void operation(String name, Work work) throws Exception {
        Map<String, String> finding = new LinkedHashMap<>();
        finding.put("operation", name);
        finding.put("outcome", "passed");
        try {
            work.run();
        } catch (Absent cause) {
            finding.put("outcome", "absent");
            finding.put("how", cause.getMessage());
        } catch (Exception | AssertionError cause) {
            finding.put("outcome", "differs");
            finding.put("how", (cause.getClass().getSimpleName() + ": " + cause.getMessage()).replaceAll("\\s+", " "));
        }
        System.out.println(JSON.writeValueAsString(finding));
        System.out.flush();
    }
}
