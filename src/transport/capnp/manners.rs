//! What of Cap'n Proto's RPC protocol is spoken here: calls and their answers.
//!
//! The protocol can do more: capabilities that are promised and resolved later, answers that go elsewhere, messages
//! that are sent back when they are not understood. Each of these costs its receiver memory, or stack, that the sender
//! decides on, and nobody needs any of them here. So they are refused before capnp-rpc sees them.

use capnp_rpc::rpc_capnp::{call, cap_descriptor, message, payload, return_};

/// How many capabilities a message may carry: a watcher is the only one that anybody has to give.
const CAPABILITIES_MAX: u32 = 4;

/// Whether a message is one that is spoken here.
pub(super) fn check(message: message::Reader<'_>) -> Result<(), String> {
    let malformed = |_| "malformed: a message that can't be read".to_string();
    match message.which().map_err(|_| refused("a message of no known kind"))? {
        message::Call(call) => {
            let call = call.map_err(malformed)?;
            match call.get_send_results_to().which() {
                Ok(call::send_results_to::Caller(())) => {}
                _ => return Err(refused("an answer that goes elsewhere")),
            }
            check_payload(call.get_params().map_err(malformed)?)
        }
        message::Return(answer) => match answer.map_err(malformed)?.which() {
            Ok(return_::Results(results)) => check_payload(results.map_err(malformed)?),
            Ok(return_::Exception(_) | return_::Canceled(())) => Ok(()),
            _ => Err(refused("an answer that went elsewhere")),
        },
        message::Bootstrap(_)
        | message::Finish(_)
        | message::Release(_)
        | message::Disembargo(_)
        | message::Abort(_) => Ok(()),
        _ => Err(refused("more of the protocol than calls and answers")),
    }
}

fn check_payload(payload: payload::Reader<'_>) -> Result<(), String> {
    let table = payload.get_cap_table().map_err(|_| refused("a table of capabilities that can't be read"))?;
    if table.len() > CAPABILITIES_MAX {
        return Err(refused("too many capabilities"));
    }
    let is_plain = |descriptor: cap_descriptor::Reader<'_>| {
        matches!(
            descriptor.which(),
            Ok(cap_descriptor::None(())
                | cap_descriptor::SenderHosted(_)
                | cap_descriptor::ReceiverHosted(_))
        )
    };
    if table.iter().all(is_plain) { Ok(()) } else { Err(refused("a capability that is only promised")) }
}

fn refused(what: &str) -> String {
    format!("refused: {what}")
}
