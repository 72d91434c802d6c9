//! Block-wise transfers with peers that others wrote.

use anyhow::{Result, ensure};
use fieldgate_coap::block::Block;
use fieldgate_coap::option::OptionNumber;
use fieldgate_edge::drivers::Direction;
use fieldgate_edge::drivers::coap::{
    BlockSize, CoapRequest, Code, ContentFormat, Method, Transmission,
};
use fieldgate_tests::harness::{CoapServer, Scratch};

use crate::coap_kit::{Gateway, fast, get, send};

/// What `/large` of the aiocoap server holds, and what is sent to others.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).expect("below 251")).collect()
}

/// The block options that were sent, in their order.
fn sent_blocks(gateway: &mut Gateway, number: OptionNumber) -> Vec<Block> {
    let seen = gateway.seen().iter();
    let sent = seen.filter(|(direction, _)| *direction == Direction::Sent);
    sent.filter_map(|(_, message)| Block::of(&message.options, number)).collect()
}

#[tokio::test]
async fn a_long_answer_comes_in_blocks_of_the_size_that_we_ask_for_first() -> Result<()> {
    let scratch = Scratch::new("fieldgate-coap-block-early")?;
    let server = CoapServer::plugtest(scratch.path())?;
    for bytes in [16, 64, 512, 1_024] {
        let mut gateway = Gateway::open(Transmission::default())?;
        let block_size = Some(BlockSize::at_most(bytes));
        let request = CoapRequest { block_size, ..get(&["large"]) };
        let response = gateway.ask(server.listen(), request).await?;
        ensure!(response.payload == pattern(5_000), "{} bytes", response.payload.len());
        ensure!(response.etag.as_deref() == Some(b"v1"), "{:?}", response.etag);
        let blocks = sent_blocks(&mut gateway, OptionNumber::BLOCK2);
        ensure!(blocks.len() == 5_000_usize.div_ceil(bytes), "{} blocks", blocks.len());
        ensure!(blocks.iter().all(|block| block.size.bytes() == bytes), "{blocks:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_long_answer_comes_in_blocks_of_the_size_that_the_peer_chooses() -> Result<()> {
    let scratch = Scratch::new("fieldgate-coap-block-late")?;
    let server = CoapServer::plugtest(scratch.path())?;
    let mut gateway = Gateway::open(Transmission::default())?;
    let found = gateway.expect(server.listen(), get(&["large"]), Code::CONTENT).await?;
    ensure!(found == pattern(5_000), "{} bytes", found.len());
    let first = gateway.seen()[0].1.options.first(OptionNumber::BLOCK2).is_none();
    ensure!(first, "the first request has no size");
    let blocks = sent_blocks(&mut gateway, OptionNumber::BLOCK2);
    ensure!(blocks.len() == 4 && blocks[0].number == 1, "{blocks:?}");
    Ok(())
}

#[tokio::test]
async fn a_long_payload_is_put_in_blocks_and_read_back_from_both_peers() -> Result<()> {
    let scratch = Scratch::new("fieldgate-coap-block-put")?;
    let libcoap = CoapServer::libcoap(scratch.path(), &["-d", "10"])?;
    let aiocoap = CoapServer::plugtest(scratch.path())?;
    for (peer, path) in [(libcoap.listen(), "example_data"), (aiocoap.listen(), "large-update")] {
        for (length, bytes) in [(65, 64), (4_000, 64), (5_000, 1_024), (1_024, 1_024)] {
            let mut gateway = Gateway::open(Transmission::default())?;
            let block_size = Some(BlockSize::at_most(bytes));
            let content_format = Some(ContentFormat::OCTET_STREAM);
            let put = send(Method::Put, &[path], &pattern(length));
            let put = CoapRequest { block_size, content_format, ..put };
            let response = gateway.ask(peer, put).await?;
            ensure!(response.code.is_success(), "{length} in {bytes} to {path}: {response:?}");
            let blocks = sent_blocks(&mut gateway, OptionNumber::BLOCK1);
            let expected = if length > bytes { length.div_ceil(bytes) } else { 0 };
            ensure!(blocks.len() == expected, "{length} in {bytes} to {path}: {blocks:?}");
            let found = gateway.expect(peer, get(&[path]), Code::CONTENT).await?;
            ensure!(found == pattern(length), "{length} in {bytes} of {path}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_long_payload_is_posted_in_blocks() -> Result<()> {
    let scratch = Scratch::new("fieldgate-coap-block-post")?;
    let server = CoapServer::plugtest(scratch.path())?;
    let gateway = Gateway::open(Transmission::default())?;
    let post = send(Method::Post, &["large-create"], &pattern(3_000));
    let found = gateway.expect(server.listen(), post, Code::CREATED).await?;
    ensure!(found == b"3000", "{found:?}");
    Ok(())
}

#[tokio::test]
async fn blocks_survive_a_network_that_loses_a_fifth_of_all() -> Result<()> {
    let scratch = Scratch::new("fieldgate-coap-block-lossy")?;
    let server = CoapServer::libcoap(scratch.path(), &["-d", "10", "-l", "20%"])?;
    let gateway = Gateway::open(fast())?;
    let block_size = Some(BlockSize::at_most(128));
    let put = send(Method::Put, &["example_data"], &pattern(2_000));
    let response = gateway.ask(server.listen(), CoapRequest { block_size, ..put }).await?;
    ensure!(response.code.is_success(), "{response:?}");
    let request = CoapRequest { block_size, ..get(&["example_data"]) };
    let found = gateway.expect(server.listen(), request, Code::CONTENT).await?;
    ensure!(found == pattern(2_000), "{} bytes", found.len());
    Ok(())
}
