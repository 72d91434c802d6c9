//! Stub.
use crate::pipeline::Handles;
pub(crate) async fn serve(_: tokio::net::TcpListener, _: Handles) -> std::io::Result<()> {
    std::future::pending().await
}
