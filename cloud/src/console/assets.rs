//! The console's files, inside the binary. uPlot 1.6.32 (MIT) lies beside its licence.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// Name, media type, content.
const ASSETS: [(&str, &str, &str); 10] = [
    ("console.css", CSS, include_str!("../../assets/console.css")),
    ("chart.js", JAVASCRIPT, include_str!("../../assets/chart.js")),
    ("command.js", JAVASCRIPT, include_str!("../../assets/command.js")),
    ("fleet.js", JAVASCRIPT, include_str!("../../assets/fleet.js")),
    ("gateway.js", JAVASCRIPT, include_str!("../../assets/gateway.js")),
    ("icon.svg", "image/svg+xml", include_str!("../../assets/icon.svg")),
    ("page.js", JAVASCRIPT, include_str!("../../assets/page.js")),
    ("uplot.css", CSS, include_str!("../../assets/uplot.css")),
    ("uplot.js", JAVASCRIPT, include_str!("../../assets/uplot.js")),
    ("uplot.LICENSE", "text/plain; charset=utf-8", include_str!("../../assets/uplot.LICENSE")),
];

pub(super) async fn asset(Path(name): Path<String>) -> Response {
    let Some((_, media, content)) = ASSETS.iter().find(|(known, ..)| *known == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // Short, since an upgrade changes the content under the same name.
    let headers = [(CONTENT_TYPE, *media), (CACHE_CONTROL, "public, max-age=300")];
    (headers, *content).into_response()
}
