"""A page whose script asks over six connections for nine seconds, and then reports what it got."""

PAGE = """<!doctype html><title>asking</title><script>
let ok = 0, bad = 0;
const end = performance.now() + 9000;
async function ask(number) {
  while (performance.now() < end) {
    try {
      const response = await fetch(`/x?${number}-${ok}`);
      if (response.status == 200) { await response.json(); ok++ } else bad++;
    } catch (error) { bad++ }
    await new Promise(go => setTimeout(go, 15));
  }
}
Promise.all([1, 2, 3, 4, 5, 6].map(ask)).then(() => fetch(`/?result-ok=${ok}-bad=${bad}`));
</script>"""
