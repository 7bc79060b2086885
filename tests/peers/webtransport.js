// A page's WebTransport session at /echo: streams of both kinds and a datagram come back. The value
// of this expression is "ok", or what went wrong.
(async () => {
  const bytes = async (readable) =>
    new Uint8Array(await new Response(readable).arrayBuffer());
  const session = new WebTransport(location.origin + "/echo");
  await session.ready;

  const long = new Uint8Array(500_000).map((_, at) => at % 251);
  const both = await session.createBidirectionalStream();
  const writer = both.writable.getWriter();
  const echoed = bytes(both.readable);
  await writer.write(long);
  await writer.close();
  const back = await echoed;
  if (back.length !== long.length || !back.every((byte, at) => byte === long[at])) {
    return `${back.length} bytes came back both ways`;
  }

  const one = (await session.createUnidirectionalStream()).getWriter();
  await one.write(new TextEncoder().encode("one way"));
  await one.close();
  const answer = await session.incomingUnidirectionalStreams.getReader().read();
  const text = new TextDecoder().decode(await bytes(answer.value));
  if (text !== "one way") return `${text} came back one way`;

  const datagrams = session.datagrams.readable.getReader();
  await session.datagrams.writable.getWriter().write(new Uint8Array([1, 2, 3]));
  const datagram = (await datagrams.read()).value;
  if (datagram.join() !== "1,2,3") return `${datagram} came back as a datagram`;

  session.close({ closeCode: 7, reason: "bye" });
  await session.closed;
  return "ok";
})().catch(String)
