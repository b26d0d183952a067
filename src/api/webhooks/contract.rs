//! What webhooks are sent, for the OpenAPI document.

use serde_json::{Map, Value, json};

use crate::hooks::EventKind;
use crate::inventory::ChangeKind;

/// Adds the events to a document in OpenAPI 3.1.
pub(in crate::api) fn describe(document: &mut Value) {
    let events = EventKind::ALL.into_iter();
    let events: Map<String, Value> = events
        .map(|event| (event.as_str().to_owned(), json!({ "post": sent(event) })))
        .collect();
    document["webhooks"] = Value::Object(events);
}

fn sent(event: EventKind) -> Value {
    let (summary, data) = match event {
        EventKind::Change(kind) => (
            of_change(kind),
            json!({ "$ref": "#/components/schemas/Change" }),
        ),
        EventKind::Lost => (
            "Changes are not known any more that were never sent: list the clusters anew",
            json!({
                "type": "object",
                "required": ["after", "until"],
                "properties": {
                    "after": { "type": "integer", "format": "int64", "minimum": 0, "description": "All changes up to this generation were sent" },
                    "until": { "type": "integer", "format": "int64", "minimum": 0, "description": "All changes after this generation will be" },
                },
            }),
        ),
        EventKind::Test => (
            "Somebody tries whether events arrive",
            json!({
                "type": "object",
                "required": ["webhook"],
                "properties": { "webhook": { "type": "string", "description": "The webhook's name" } },
            }),
        ),
    };
    let word = event.as_str();
    json!({
        "summary": summary,
        "description": "Signed by [Standard Webhooks](https://www.standardwebhooks.com/). Sent at least once, each time with the same id and body; `data.generation` tells the order of changes. Any 2xx takes the event; 410 ends the sending until somebody asks for a test or a delivery; 429 and 503 may say when to come back with `Retry-After`; everything else is tried again, less and less often. Redirects are not followed.",
        "operationId": format!("receive_{}", word.replace('.', "_")),
        "tags": ["webhooks"],
        // The signature is what opens a receiver: no key of a caller is sent.
        "security": [],
        "parameters": [
            header("webhook-id", "The event's id, the same at each attempt"),
            header("webhook-timestamp", "When this attempt was made, in seconds since 1970"),
            header("webhook-signature", "`v1,` and base64 of HMAC-SHA256 over `<id>.<timestamp>.<body>`, by each secret; with a space between each two"),
        ],
        "requestBody": {
            "required": true,
            "content": { "application/json": { "schema": {
                "type": "object",
                "required": ["type", "timestamp", "data"],
                "properties": {
                    "type": { "type": "string", "enum": [word] },
                    "timestamp": { "type": "string", "format": "date-time", "description": "When it happened" },
                    "data": data,
                },
            } } },
        },
        "responses": {
            "2XX": { "description": "The event was taken" },
            "410": { "description": "Nothing more is to be sent until somebody asks for it" },
        },
    })
}

fn header(name: &str, description: &str) -> Value {
    json!({ "name": name, "in": "header", "required": true, "description": description, "schema": { "type": "string" } })
}

fn of_change(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "A cluster is listed that was not",
        ChangeKind::Updated => "What is known of a cluster is something else",
        ChangeKind::Missing => "A complete listing does not have the cluster any more",
        ChangeKind::Removed => "The cluster is gone",
        ChangeKind::Returned => "The cluster was missing and is listed again",
        ChangeKind::SourceState => "How far a source's clusters can be trusted has changed",
    }
}
