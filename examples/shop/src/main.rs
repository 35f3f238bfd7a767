//! Starts the application.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Parser;
use haa_example_shop::database::{Databases, Login};
use haa_example_shop::orders::Orders;
use haa_example_shop::routes::Routes;
use haa_example_shop::web;

/// Takes orders, and keeps them in a haa cluster
#[derive(Debug, Parser)]
struct Arguments {
    /// haa's agents, such as http://10.0.0.1:8008, with commas between
    #[arg(long, env = "HAA_AGENTS", value_delimiter = ',', required = true)]
    agents: Vec<String>,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    #[command(flatten)]
    login: Login,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let routes = Routes::watch(arguments.agents)?;
    let databases = Databases::new(arguments.login.config()?);
    let orders = Arc::new(Orders { routes, databases });
    let listener = tokio::net::TcpListener::bind(arguments.listen).await?;
    let stopped = async { drop(tokio::signal::ctrl_c().await) };
    axum::serve(listener, web::router(orders)).with_graceful_shutdown(stopped).await?;
    Ok(())
}
