//! `GET /api/openapi.json`: the whole HTTP surface, as OpenAPI 3.1.

/// The document; a test holds every route of the program against it.
pub const DOCUMENT: &str = include_str!("../../assets/openapi.json");
