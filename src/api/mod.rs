//! HTTP on one port: health checks, documents, routes, commands. Never decides, never asks Postgres.

pub mod tokens;
