//! Stub.
use crate::pipeline::Handles;
pub(crate) struct Bound;
pub(crate) fn bind(_: &std::path::Path) -> std::io::Result<Bound> {
    Ok(Bound)
}
pub(crate) async fn serve(_: Bound, _: Handles) -> std::io::Result<()> {
    std::future::pending().await
}
