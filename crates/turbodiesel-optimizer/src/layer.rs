//! A tower layer that watches each request.

use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use crate::{Detector, Watch};

/// Gives each request a scope of its own, and judges it when the response is ready. What a streamed
/// body asks afterwards is not judged.
///
/// ```
/// use turbodiesel_optimizer::{Detector, WatchLayer};
///
/// // With axum: `Router::new().route(…).layer(layer)`.
/// let layer = WatchLayer::new(Detector::log());
/// # let _ = layer;
/// ```
#[derive(Clone, Debug)]
pub struct WatchLayer {
    detector: Detector,
}

impl WatchLayer {
    /// Watches by a detector.
    pub fn new(detector: Detector) -> Self {
        Self { detector }
    }
}

impl<S> Layer<S> for WatchLayer {
    type Service = WatchService<S>;

    fn layer(&self, inner: S) -> WatchService<S> {
        WatchService { inner, detector: self.detector.clone() }
    }
}

/// A service whose requests are watched.
#[derive(Clone, Debug)]
pub struct WatchService<S> {
    inner: S,
    detector: Detector,
}

impl<S, Request> Service<Request> for WatchService<S>
where
    S: Service<Request>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Watch<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Watch<S::Future> {
        let scope = self.detector.open();
        // A service may make its queries' futures before its own is polled.
        let future = match &scope {
            Some(scope) => scope.enter(|| self.inner.call(request)),
            None => self.inner.call(request),
        };
        self.detector.watch_in(scope, future)
    }
}
