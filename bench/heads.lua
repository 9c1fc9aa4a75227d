-- The requests of real clients, for wrk: -s heads.lua URL -- KIND [close]
--   varying   what a proxy passes on: path, cookie and one header are new in each request
--   browser   what a browser sends while it loads a page: twelve headers of 800 bytes, and another path each time
local count, kind, connection = 0, "varying", "keep-alive"

local browser = {
  ["Host"] = "shop.example",
  ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
  ["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
  ["Accept-Encoding"] = "gzip, deflate, br, zstd",
  ["Accept-Language"] = "en-GB,en-US;q=0.9,en;q=0.8",
  ["Cache-Control"] = "max-age=0",
  ["Cookie"] = "session=" .. string.rep("5f3a9c01", 12) .. "; theme=dark; csrftoken=" .. string.rep("a1b2", 16),
  ["Referer"] = "https://shop.example/category/garden/tools?page=3&sort=price&filter=in-stock&brand=acme",
  ["Sec-Fetch-Dest"] = "document",
  ["Sec-Fetch-Mode"] = "navigate",
  ["Upgrade-Insecure-Requests"] = "1",
}

init = function(words)
  kind = words[1] or kind
  if words[2] == "close" then connection = "close" end
  browser["Connection"] = connection
end

request = function()
  count = count + 1
  local id = string.format("%08x%04x", (count * 2654435761) % 4294967296, count % 65536)
  local target = "/item/" .. id .. "?page=" .. count % 97
  if kind == "browser" then return wrk.format("GET", target, browser) end
  return wrk.format("GET", target, {
    ["Host"] = "shop.example", ["Accept"] = "text/html,application/json;q=0.9", ["User-Agent"] = "wrk",
    ["Cookie"] = "session=" .. id, ["X-Request-ID"] = id, ["Connection"] = connection })
end
