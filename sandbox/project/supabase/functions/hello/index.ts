// Greets whoever calls: enough to see a deploy arrive.
Deno.serve(async (request) => {
  const { name = "stranger" } = await request.json().catch(() => ({}));
  return Response.json({ message: `Hello, ${name}!` });
});
