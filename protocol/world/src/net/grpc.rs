//! gRPC channels over checked connections of this crate.

use std::io;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tonic::codegen::Service;
use tonic::transport::{Channel, Endpoint, Error, Uri};

use super::{CheckedStream, connect};
use crate::simulation::Answer;

/// Connects a gRPC channel to an endpoint.
pub async fn connect_channel(endpoint: &Endpoint) -> Result<Channel, Error> {
    endpoint.connect_with_connector(Connector).await
}

/// A channel that connects at its first use, and connects again after the connection breaks.
pub fn connect_channel_lazily(endpoint: &Endpoint) -> Channel {
    endpoint.connect_with_connector_lazy(Connector)
}

#[derive(Clone)]
struct Connector;

impl Service<Uri> for Connector {
    type Response = TokioIo<CheckedStream>;
    type Error = io::Error;
    type Future = Answer<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(async move {
            let address = uri.authority().ok_or_else(|| io::Error::other("the address has no host"))?;
            let stream = connect(address.as_str()).await?;
            stream.disable_delay();
            Ok(TokioIo::new(CheckedStream::new(stream, address.to_string())))
        })
    }
}
