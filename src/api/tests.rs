//! The table of checks, documents, routes and commands, by hand-made statuses.
