//! The little of etcd's gRPC that a writer needs, declared by hand: the field numbers are those of `rpc.proto` in
//! etcd's `etcdserverpb`, and what is not read is skipped.

use http::uri::PathAndQuery;
use prost::Message;
use tonic::{Request, Result, Status, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, Message)]
pub struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct PutResponse {}

#[derive(Clone, PartialEq, Message)]
pub struct StatusRequest {}

#[derive(Clone, PartialEq, Message)]
pub struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    #[prost(uint64, tag = "4")]
    pub leader: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct ResponseHeader {
    #[prost(uint64, tag = "2")]
    pub member_id: u64,
}

impl StatusResponse {
    /// Whether who answered leads.
    pub fn is_leader(&self) -> bool {
        self.header.as_ref().is_some_and(|header| header.member_id != 0 && header.member_id == self.leader)
    }
}

pub async fn put(grpc: &mut Grpc<Channel>, request: PutRequest) -> Result<PutResponse> {
    call(grpc, "/etcdserverpb.KV/Put", request).await
}

pub async fn status(grpc: &mut Grpc<Channel>, request: StatusRequest) -> Result<StatusResponse> {
    call(grpc, "/etcdserverpb.Maintenance/Status", request).await
}

async fn call<Q, A>(grpc: &mut Grpc<Channel>, path: &'static str, request: Q) -> Result<A>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static(path);
    let answer = grpc.unary(Request::new(request), path, ProstCodec::<Q, A>::default()).await?;
    Ok(answer.into_inner())
}
