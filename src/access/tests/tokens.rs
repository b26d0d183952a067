//! Good tokens, and the ways in which others try to pass for them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::sign::{RSA, hs256, message};
use super::*;

/// Shows a token that must not be let in; gives back why.
async fn refused(access: &Access, token: &str) -> (DeniedKind, &'static str) {
    let denied = show(access, token, at(0)).await.unwrap_err();
    (denied.kind, denied.reason)
}

fn invalid(reason: &'static str) -> (DeniedKind, &'static str) {
    (DeniedKind::Invalid, reason)
}

#[tokio::test(start_paused = true)]
async fn each_default_algorithm_is_really_checked() {
    let (ec, ed) = (Signer::ec("ec-1"), Signer::ed("ed-1"));
    let signers = [&*RSA, &ec, &ed];
    let (access, _) = one_issuer(&signers);
    for signer in signers {
        let good = signer.token(&claims());
        let principal = show(&access, &good, at(0)).await.unwrap();
        assert_eq!(principal.kind, PrincipalKind::Token);
        assert_eq!(
            (principal.id.as_str(), principal.name.as_str()),
            ("ada", ISSUER)
        );
        assert!(principal.may(Scope::ClustersRead) && !principal.may(Scope::ClustersWrite));

        // The same header and signature around other claims.
        let parts: Vec<&str> = good.split('.').collect();
        let claims = URL_SAFE_NO_PAD.encode(claims_with("sub", json!("eve")).to_string());
        let forged = format!("{}.{claims}.{}", parts[0], parts[2]);
        assert_eq!(
            refused(&access, &forged).await,
            invalid("no key of the issuer has signed the token"),
            "{}",
            signer.id
        );
        let unsigned = format!("{}.{}.", parts[0], parts[1]);
        assert!(show(&access, &unsigned, at(0)).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_does_not_choose_how_it_is_checked() {
    let (access, script) = one_issuer(&[&RSA]);
    show(&access, &RSA.token(&claims()), at(0)).await.unwrap();

    let none = json!({ "alg": "none", "kid": RSA.id });
    for none in [
        format!("{}.", message(&none, &claims().to_string())),
        RSA.token_with(&none, &claims()),
        RSA.token_with(&json!({ "alg": "nOnE" }), &claims()),
    ] {
        assert_eq!(
            refused(&access, &none).await,
            invalid("neither a key nor a token")
        );
    }
    // The public key is known to everybody, so it must not count as a secret.
    let published = RSA.jwk();
    let modulus = published["n"].as_str().unwrap();
    for secret in [
        RSA.public_der(),
        modulus.as_bytes().to_vec(),
        URL_SAFE_NO_PAD.decode(modulus).unwrap(),
        Vec::new(),
    ] {
        let token = hs256(
            &json!({ "alg": "HS256", "kid": RSA.id }),
            &claims(),
            &secret,
        );
        assert_eq!(
            refused(&access, &token).await,
            invalid("token is signed in a way that is never taken")
        );
    }
    let other = json!({ "alg": "RS384", "kid": RSA.id });
    assert_eq!(
        refused(&access, &RSA.token_with(&other, &claims())).await,
        invalid("token is signed in a way that is not taken")
    );
    let eve = Signer::rsa("rsa-1");
    let header = json!({
        "alg": "RS256", "kid": RSA.id, "jwk": eve.jwk(), "jku": "https://eve.example/keys",
        "x5u": "https://eve.example/chain",
    });
    assert_eq!(
        refused(&access, &eve.token_with(&header, &claims())).await,
        invalid("no key of the issuer has signed the token")
    );
    for (member, value, reason) in [
        (
            "crit",
            json!(["b64"]),
            "token wants something that is not known here",
        ),
        ("typ", json!("logout+jwt"), "token is of another type"),
    ] {
        let mut header = json!({ "alg": "RS256", "kid": RSA.id });
        header[member] = value;
        let token = RSA.token_with(&header, &claims());
        assert_eq!(refused(&access, &token).await, invalid(reason));
    }
    let long = claims_with("padding", json!("x".repeat(8 << 10)));
    assert_eq!(
        refused(&access, &RSA.token(&long)).await,
        invalid("token is too long")
    );
    for text in ["a.b.c", "abc", "a.b", "....", "\u{e9}"] {
        assert!(show(&access, text, at(0)).await.is_err(), "{text}");
    }
    assert_eq!(
        script.readings(),
        1,
        "nothing of this asks the issuer again"
    );
}

#[tokio::test(start_paused = true)]
async fn claims_must_be_there_of_the_right_type_and_ours() {
    let (access, _) = one_issuer(&[&RSA]);
    let lacks = "token lacks a claim, or has it in another type";
    let no_number = "token with a time that is no number";
    let cases = [
        (
            "aud",
            json!("elsewhere"),
            invalid("token for another audience"),
        ),
        (
            "aud",
            json!(["elsewhere", "nowhere"]),
            invalid("token for another audience"),
        ),
        ("aud", json!([]), invalid("token for another audience")),
        ("aud", json!(null), invalid(lacks)),
        (
            "iss",
            json!("https://id.example/"),
            invalid("unknown issuer"),
        ),
        (
            "iss",
            json!("https://ID.example"),
            invalid("unknown issuer"),
        ),
        ("iss", json!([ISSUER]), invalid("neither a key nor a token")),
        ("iss", json!(null), invalid("neither a key nor a token")),
        ("sub", json!(null), invalid(lacks)),
        ("sub", json!(""), invalid("token without a usable subject")),
        (
            "sub",
            json!("ada\u{202e}nimda"),
            invalid("token without a usable subject"),
        ),
        (
            "sub",
            json!("ada\u{2028}eve"),
            invalid("token without a usable subject"),
        ),
        ("exp", json!(null), invalid(lacks)),
        ("exp", json!((NOW + 600).to_string()), invalid(lacks)),
        ("exp", json!(true), invalid(lacks)),
        ("exp", json!(-1), invalid(lacks)),
        (
            "exp",
            json!(NOW - 60),
            (DeniedKind::Expired, "expired token"),
        ),
        ("nbf", json!(NOW + 61), invalid("token is not good yet")),
        ("nbf", json!((NOW - 10).to_string()), invalid(no_number)),
        ("nbf", json!(null), invalid(no_number)),
        (
            "iat",
            json!(NOW + 61),
            invalid("token was issued in the future"),
        ),
        ("iat", json!([NOW]), invalid(no_number)),
    ];
    for (claim, value, expected) in cases {
        let token = RSA.token(&claims_with(claim, value.clone()));
        assert_eq!(refused(&access, &token).await, expected, "{claim}: {value}");
    }
    for (claim, value) in [
        ("aud", json!(["elsewhere", AUDIENCE])),
        ("exp", json!(NOW - 59)),
        ("exp", json!(1e18)),
        ("exp", json!(NOW as f64 + 0.5)),
        ("nbf", json!(NOW + 60)),
        ("iat", json!(NOW + 60)),
    ] {
        let token = RSA.token(&claims_with(claim, value.clone()));
        let told = show(&access, &token, at(0)).await;
        assert!(told.is_ok(), "{claim}: {value}: {told:?}");
    }
    let mut lasting = claims();
    lasting.as_object_mut().unwrap().remove("exp");
    assert_eq!(refused(&access, &RSA.token(&lasting)).await, invalid(lacks));
    // Which of the two would count depends on the reader.
    let twice = claims()
        .to_string()
        .replacen('{', &format!("{{\"exp\":{},", NOW - 900), 1);
    let header = json!({ "alg": "RS256", "kid": RSA.id });
    let doubled = RSA.token_of(&header, &twice);
    assert!(show(&access, &doubled, at(0)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_key_name_means_nothing_outside_of_its_issuer() {
    const OTHER: &str = "https://other.example";
    let (ours, theirs) = (Signer::ed("key-1"), Signer::ed("key-1"));
    let script = Script::default();
    script.say(&format!("{ISSUER}/keys"), &jwks(&[&ours]));
    script.say(&format!("{OTHER}/keys"), &jwks(&[&theirs]));
    let mut other = issuer(OTHER);
    other.audience = vec!["other-audience".to_owned()];
    let access = start(vec![issuer(ISSUER), other], &script);

    show(&access, &ours.token(&claims()), at(0)).await.unwrap();
    let mut foreign = claims_with("iss", json!(OTHER));
    assert_eq!(
        refused(&access, &theirs.token(&foreign)).await,
        invalid("token for another audience")
    );
    foreign["aud"] = json!("other-audience");
    let principal = show(&access, &theirs.token(&foreign), at(0)).await.unwrap();
    assert_eq!(principal.name, OTHER);
    let unsigned = invalid("no key of the issuer has signed the token");
    assert_eq!(refused(&access, &theirs.token(&claims())).await, unsigned);
    assert_eq!(refused(&access, &ours.token(&foreign)).await, unsigned);
}

#[tokio::test(start_paused = true)]
async fn a_token_without_a_key_name_is_told_by_an_only_key() {
    let (first, second, ec) = (Signer::ed("ed-1"), Signer::ed("ed-2"), Signer::ec("ec-1"));
    let header = json!({ "alg": "EdDSA" });
    let (access, _) = one_issuer(&[&first, &ec]);
    show(&access, &first.token_with(&header, &claims()), at(0))
        .await
        .unwrap();
    let (access, script) = one_issuer(&[&first, &second]);
    let token = second.token_with(&header, &claims());
    assert_eq!(
        refused(&access, &token).await,
        invalid("unknown key of the issuer")
    );
    tokio::time::sleep(super::discovery::INTERVAL).await;
    assert!(show(&access, &token, at(0)).await.is_err());
    assert_eq!(script.readings(), 1, "another reading would not help");
}

#[tokio::test(start_paused = true)]
async fn a_key_is_used_for_what_its_issuer_says_only() {
    let signer = Signer::ed("ed-1");
    for (member, value) in [
        ("use", json!("enc")),
        ("alg", json!("ES256")),
        ("alg", json!("HS256")),
        ("alg", json!("RSA-OAEP")),
        ("key_ops", json!(["sign"])),
        ("crv", json!("P-256")),
        ("kty", json!("oct")),
    ] {
        let script = Script::default();
        let mut jwk = signer.jwk();
        jwk[member] = value.clone();
        script.say(&format!("{ISSUER}/keys"), &json!({ "keys": [jwk] }));
        let access = start(vec![issuer(ISSUER)], &script);
        let denied = show(&access, &signer.token(&claims()), at(0)).await;
        assert!(denied.is_err(), "{member}: {value}");
    }
    let script = Script::default();
    let mut jwk = signer.jwk();
    jwk.as_object_mut().unwrap().remove("alg");
    jwk.as_object_mut().unwrap().remove("use");
    let odd = json!({ "keys": [
        { "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA", "kid": "ed-1" },
        { "kty": "oct", "k": "c2VjcmV0", "kid": "ed-1", "alg": "HS256" },
        "nonsense", 7, {}, jwk,
    ] });
    script.say(&format!("{ISSUER}/keys"), &odd);
    let access = start(vec![issuer(ISSUER)], &script);
    show(&access, &signer.token(&claims()), at(0))
        .await
        .unwrap();
    let shared = hs256(
        &json!({ "alg": "HS256", "kid": "ed-1" }),
        &claims(),
        b"secret",
    );
    assert!(show(&access, &shared, at(0)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_remembered_token_ends_when_it_says_and_when_its_key_goes() {
    let (old, new) = (Signer::ed("old"), Signer::ed("new"));
    let (access, script) = one_issuer(&[&old]);
    let brief = old.token(&claims_with("exp", json!(NOW + 30)));
    show(&access, &brief, at(0)).await.unwrap();
    show(&access, &brief, at(89)).await.unwrap();
    let denied = show(&access, &brief, at(90)).await.unwrap_err();
    assert_eq!(denied.kind, DeniedKind::Expired);

    let token = old.token(&claims());
    show(&access, &token, at(0)).await.unwrap();
    script.say(&format!("{ISSUER}/keys"), &jwks(&[&new]));
    tokio::time::sleep(super::discovery::FRESH + Duration::from_secs(1)).await;
    assert_eq!(
        refused(&access, &token).await,
        invalid("unknown key of the issuer")
    );
    show(&access, &new.token(&claims()), at(0)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn only_one_bearer_is_looked_at() {
    let (access, _) = one_issuer(&[&RSA]);
    let token = RSA.token(&claims());
    show(&access, &token, at(0)).await.unwrap();
    let told = |values: &[&str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::try_from(*value).unwrap());
        }
        match access.authenticate(&headers, at(0)) {
            Authentication::Done(told) => told.map(drop).map_err(|denied| denied.kind),
            Authentication::Ask(_) => panic!("nothing is to be asked"),
        }
    };
    let bearer = format!("Bearer {token}");
    let lower = format!("bearer  {token} ");
    assert_eq!(told(&[&bearer]), Ok(()));
    assert_eq!(told(&[&lower]), Ok(()));
    assert_eq!(told(&[]), Err(DeniedKind::Missing));
    for other in ["Basic YTpi", "Bearer", "Bearer ", &token] {
        assert_eq!(told(&[other]), Err(DeniedKind::Missing), "{other}");
    }
    assert_eq!(told(&[&bearer, &bearer]), Err(DeniedKind::Invalid));
    assert_eq!(
        told(&[&format!("Bearer {token} {token}")]),
        Err(DeniedKind::Invalid)
    );
    let key = format!("Bearer cg_abcdefgh12_{}", "a".repeat(43));
    assert_eq!(told(&[&key]), Err(DeniedKind::Invalid));
}
