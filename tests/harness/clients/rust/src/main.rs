//! Requests signed by the crate acs-signature: run by tools.ts. Prints a line of JSON for each thing that it tried. The crate
//! sends nothing itself, so what sends is small and speaks plain HTTP.

use acs_signature::{ConnectionString, Signer, now};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

/// What a client knows of the server.
struct Server {
    /// Name and port.
    host: String,
    signer: Signer,
}

impl Server {
    fn signed(&self, method: &str, path: &str, body: &str) -> Result<(u16, Value), Failure> {
        let target = format!("{path}?api-version=2023-10-01");
        let signed = self
            .signer
            .sign(method, &target, &self.host, &now(), body.as_bytes());
        let mut request = self.request(method, &target).with_body(body);
        if !body.is_empty() {
            request = request.with_header("Content-Type", "application/json");
        }
        for (name, value) in signed.headers() {
            request = request.with_header(name, value);
        }
        let answer = request.send()?;
        Ok((
            answer.status_code,
            serde_json::from_slice(answer.as_bytes()).unwrap_or(Value::Null),
        ))
    }

    fn status_of(&self, token: &str) -> Result<u16, Failure> {
        let bearer = format!("Bearer {token}");
        Ok(self
            .request("GET", "/-/whoami")
            .with_header("Authorization", bearer)
            .send()?
            .status_code)
    }

    fn request(&self, method: &str, target: &str) -> minreq::Request {
        let method = minreq::Method::Custom(method.to_string());
        minreq::Request::new(method, format!("http://{}{target}", self.host))
    }
}

/// From an identity with a token to its end.
fn identities(server: &Server) -> Result<(), Failure> {
    let (status, created) = server.signed(
        "POST",
        "/identities",
        r#"{"createTokenWithScopes":["chat"]}"#,
    )?;
    expect(status, 201, &created)?;
    let id = text(&created["identity"]["id"])?.replace(':', "%3A");
    let first = text(&created["accessToken"]["token"])?;
    expect(server.status_of(&first)?, 200, "the first token")?;

    let (status, issued) = server.signed(
        "POST",
        &format!("/identities/{id}/:issueAccessToken"),
        r#"{"scopes":["voip"]}"#,
    )?;
    expect(status, 200, &issued)?;
    let second = text(&issued["token"])?;
    expect(server.status_of(&second)?, 200, "the second token")?;

    let (status, revoked) =
        server.signed("POST", &format!("/identities/{id}/:revokeAccessTokens"), "")?;
    expect(status, 204, &revoked)?;
    expect(
        server.status_of(&first)?,
        401,
        "the first token once revoked",
    )?;
    expect(
        server.status_of(&second)?,
        401,
        "the second token once revoked",
    )?;

    let (status, deleted) = server.signed("DELETE", &format!("/identities/{id}"), "")?;
    expect(status, 204, &deleted)
}

fn wrong_secret(server: &Server) -> Result<(), Failure> {
    let signer =
        Signer::new("bm90IHRoZSBrZXkgb2YgdGhpcyBzZXJ2ZXI=").map_err(|cause| cause.to_string())?;
    let other = Server {
        host: server.host.clone(),
        signer,
    };
    let (status, refused) = other.signed("POST", "/identities", "")?;
    expect(status, 401, &refused)
}

fn expect(found: u16, expected: u16, about: impl std::fmt::Display) -> Result<(), Failure> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{found} and not {expected}: {about}").into())
    }
}

fn text(value: &Value) -> Result<String, Failure> {
    Ok(value.as_str().ok_or("a member is missing")?.to_string())
}

fn main() -> Result<(), Failure> {
    let task: Value = serde_json::from_str(&std::env::args().nth(1).ok_or("no task")?)?;
    let given = ConnectionString::parse(&text(&task["connectionString"])?)?;
    let server = Server {
        host: given.host().to_string(),
        signer: Signer::new(given.access_key())?,
    };
    let checks: [(&str, fn(&Server) -> Result<(), Failure>); 2] =
        [("identities", identities), ("wrong-secret", wrong_secret)];
    for (operation, check) in checks {
        let found = match check(&server) {
            Ok(()) => json!({ "operation": operation, "outcome": "passed" }),
            Err(cause) => {
                json!({ "operation": operation, "outcome": "differs", "how": cause.to_string() })
            }
        };
        println!("{found}");
    }
    Ok(())
}
