//! HTTP: health checks, documents, routes and commands on one port. Never decides, never asks Postgres.

pub mod tokens;
