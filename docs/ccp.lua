-- SPDX-License-Identifier: Apache-2.0
--
-- Wireshark dissector for CCP, Holdfast's Cluster Control Protocol. The specification is the comment of ccp/doc.go.
--
--   tshark -X lua_script:docs/ccp.lua -o holdfast.key:<64 hex digits> -r capture.pcapng -Y holdfast
--   Wireshark: copy this file into the personal Lua plugins folder; Preferences > Protocols > HOLDFAST
--
-- With the cluster key it checks tags and opens sealed frames. During a key rotation give both: "1:<hex>,2:<hex>". The key opens
-- everything that was ever recorded under it: treat a saved preference as what it is.
--
-- Wireshark 4.0's Lua has no ciphers, so SHA-256, HKDF, AES-GCM and SipHash are written out below. They are slow (some ms a sealed
-- frame) and take no care of timing: a tool for captures.

local bitlib = bit32 or bit -- Lua 5.2; newer Wireshark has Lua 5.4 and BitOp
local unpack = table.unpack or unpack

-- Bit operations on unsigned 32-bit numbers, whatever the library returns.
local W = 0x100000000
local function band(a, b) return bitlib.band(a, b) % W end
local function bxor(a, b) return bitlib.bxor(a, b) % W end
local function bnot(a) return bitlib.bnot(a) % W end
local function lsh(a, n) return bitlib.lshift(a, n) % W end
local function rsh(a, n) return bitlib.rshift(a, n) % W end
local function ror(a, n) return bxor(rsh(a, n), lsh(a, 32 - n)) end

local function be32(s, i)
  local a, b, c, d = s:byte(i, i + 3)
  return ((a * 256 + b) * 256 + c) * 256 + d
end
local function le32(s, i)
  local a, b, c, d = s:byte(i, i + 3)
  return ((d * 256 + c) * 256 + b) * 256 + a
end
local function put32(x)
  return string.char(rsh(x, 24), band(rsh(x, 16), 255), band(rsh(x, 8), 255), band(x, 255))
end

---------------------------------------------------------------------------------------------------- SHA-256, HMAC, HKDF

-- The constants of SHA-256 are the fractions of the square and cube roots of the first primes.
local sha_h, sha_k = {}, {}
do
  local n, p = 0, 2
  while n < 64 do
    local prime = true
    for d = 2, math.floor(math.sqrt(p)) do
      if p % d == 0 then prime = false break end
    end
    if prime then
      n = n + 1
      if n <= 8 then sha_h[n] = math.floor((math.sqrt(p) % 1) * W) end
      -- A double's 53 bits suffice for 32 after the point: the roots are below 7.
      sha_k[n] = math.floor((p ^ (1 / 3) % 1) * W)
    end
    p = p + 1
  end
end

local function sha256(msg)
  local bits = #msg * 8
  msg = msg .. "\128" .. string.rep("\0", (55 - #msg) % 64) .. "\0\0\0\0" .. put32(bits)
  local h = {}
  for i = 1, 8 do h[i] = sha_h[i] end
  for at = 1, #msg, 64 do
    local w = {}
    for i = 1, 16 do w[i] = be32(msg, at + 4 * (i - 1)) end
    for i = 17, 64 do
      local x, y = w[i - 15], w[i - 2]
      local s0 = bxor(bxor(ror(x, 7), ror(x, 18)), rsh(x, 3))
      local s1 = bxor(bxor(ror(y, 17), ror(y, 19)), rsh(y, 10))
      w[i] = (w[i - 16] + s0 + w[i - 7] + s1) % W
    end
    local a, b, c, d, e, f, g, hh = h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8]
    for i = 1, 64 do
      local s1 = bxor(bxor(ror(e, 6), ror(e, 11)), ror(e, 25))
      local t1 = (hh + s1 + bxor(band(e, f), band(bnot(e), g)) + sha_k[i] + w[i]) % W
      local s0 = bxor(bxor(ror(a, 2), ror(a, 13)), ror(a, 22))
      local t2 = (s0 + bxor(bxor(band(a, b), band(a, c)), band(b, c))) % W
      hh, g, f, e, d, c, b, a = g, f, e, (d + t1) % W, c, b, a, (t1 + t2) % W
    end
    local v = { a, b, c, d, e, f, g, hh }
    for i = 1, 8 do h[i] = (h[i] + v[i]) % W end
  end
  local out = {}
  for i = 1, 8 do out[i] = put32(h[i]) end
  return table.concat(out)
end

local function xorbytes(s, x)
  return (s:gsub(".", function(c) return string.char(bxor(c:byte(), x)) end))
end

local function hmac(key, msg)
  key = key .. string.rep("\0", 64 - #key) -- no key here is longer than a block
  return sha256(xorbytes(key, 0x5c) .. sha256(xorbytes(key, 0x36) .. msg))
end

-- HKDF for at most 32 bytes.
local function derive(key, info, n)
  return hmac(hmac("holdfast ccp 1", key), info .. "\1"):sub(1, n)
end

---------------------------------------------------------------------------------------------------- AES-256-GCM

local function xtime(x) return band(bxor(x * 2, x >= 128 and 0x11b or 0), 255) end

local sbox = {}
do
  local p, q = 1, 1 -- p runs through all of the field's elements but 0, q through their inverses
  repeat
    p = bxor(p, xtime(p))
    q = bxor(q, band(lsh(q, 1), 255))
    q = bxor(q, band(lsh(q, 2), 255))
    q = bxor(q, band(lsh(q, 4), 255))
    if q >= 128 then q = bxor(q, 9) end
    local x = q
    for i = 1, 4 do x = bxor(x, bxor(band(lsh(q, i), 255), rsh(q, 8 - i))) end
    sbox[p] = bxor(x, 0x63)
  until p == 1
  sbox[0] = 0x63
end

-- The 60 round-key words of AES-256, as 240 bytes.
local function expand(key)
  local w = { key:byte(1, 32) }
  local rcon = 1
  for i = 8, 59 do
    local t = { w[4 * i - 3], w[4 * i - 2], w[4 * i - 1], w[4 * i] }
    if i % 8 == 0 then
      t = { bxor(sbox[t[2]], rcon), sbox[t[3]], sbox[t[4]], sbox[t[1]] }
      rcon = xtime(rcon)
    elseif i % 8 == 4 then
      for j = 1, 4 do t[j] = sbox[t[j]] end
    end
    for j = 1, 4 do w[4 * i + j] = bxor(w[4 * (i - 8) + j], t[j]) end
  end
  return w
end

local function aes(w, block)
  local s = { block:byte(1, 16) }
  for i = 1, 16 do s[i] = bxor(s[i], w[i]) end
  for round = 1, 14 do
    local t = {}
    for c = 0, 3 do
      for r = 0, 3 do t[4 * c + r + 1] = sbox[s[4 * ((c + r) % 4) + r + 1]] end
    end
    if round < 14 then
      for c = 1, 13, 4 do
        local a, b, d, e = t[c], t[c + 1], t[c + 2], t[c + 3]
        local all = bxor(bxor(a, b), bxor(d, e))
        t[c] = bxor(bxor(a, all), xtime(bxor(a, b)))
        t[c + 1] = bxor(bxor(b, all), xtime(bxor(b, d)))
        t[c + 2] = bxor(bxor(d, all), xtime(bxor(d, e)))
        t[c + 3] = bxor(bxor(e, all), xtime(bxor(e, a)))
      end
    end
    for i = 1, 16 do s[i] = bxor(t[i], w[16 * round + i]) end
  end
  return string.char(unpack(s))
end

-- GHASH of data, whose length is a multiple of 16, under the hash key.
local function ghash(key, data)
  local k1, k2, k3, k4 = be32(key, 1), be32(key, 5), be32(key, 9), be32(key, 13)
  local y = { 0, 0, 0, 0 }
  for at = 1, #data, 16 do
    for i = 1, 4 do y[i] = bxor(y[i], be32(data, at + 4 * (i - 1))) end
    local z1, z2, z3, z4 = 0, 0, 0, 0
    local v1, v2, v3, v4 = k1, k2, k3, k4
    for i = 1, 4 do
      local word = y[i]
      for _ = 1, 32 do
        if word >= 0x80000000 then
          z1, z2, z3, z4 = bxor(z1, v1), bxor(z2, v2), bxor(z3, v3), bxor(z4, v4)
        end
        word = lsh(word, 1)
        local odd = v4 % 2 == 1
        v4 = rsh(v4, 1) + (v3 % 2) * 0x80000000
        v3 = rsh(v3, 1) + (v2 % 2) * 0x80000000
        v2 = rsh(v2, 1) + (v1 % 2) * 0x80000000
        v1 = rsh(v1, 1)
        if odd then v1 = bxor(v1, 0xe1000000) end
      end
    end
    y = { z1, z2, z3, z4 }
  end
  return y
end

local function pad16(s) return s .. string.rep("\0", -#s % 16) end

local function xor16(a, b)
  local out = {}
  for i = 1, math.min(#a, #b) do out[i] = string.char(bxor(a:byte(i), b:byte(i))) end
  return table.concat(out)
end

-- Returns the plaintext, or nil if the tag at the end of sealed is wrong.
local function gcm_open(key, nonce, sealed, aad)
  local w = expand(key)
  local text, tag = sealed:sub(1, -17), sealed:sub(-16)
  local y = ghash(aes(w, string.rep("\0", 16)),
    pad16(aad) .. pad16(text) .. "\0\0\0\0" .. put32(#aad * 8) .. "\0\0\0\0" .. put32(#text * 8))
  local sum = put32(y[1]) .. put32(y[2]) .. put32(y[3]) .. put32(y[4])
  if xor16(sum, aes(w, nonce .. put32(1))) ~= tag then return nil end
  local out = {}
  for at = 1, #text, 16 do
    out[#out + 1] = xor16(text:sub(at, at + 15), aes(w, nonce .. put32(2 + (at - 1) / 16)))
  end
  return table.concat(out)
end

---------------------------------------------------------------------------------------------------- SipHash-2-4

-- A 64-bit word is a pair of its halves, high and low.
local function add64(ah, al, bh, bl)
  local l = al + bl
  return (ah + bh + (l >= W and 1 or 0)) % W, l % W
end
local function rol64(h, l, n)
  if n >= 32 then h, l, n = l, h, n - 32 end
  if n == 0 then return h, l end
  return bxor(lsh(h, n), rsh(l, 32 - n)), bxor(lsh(l, n), rsh(h, 32 - n))
end

local function siphash(key, msg)
  local k0h, k0l, k1h, k1l = le32(key, 5), le32(key, 1), le32(key, 13), le32(key, 9)
  local v = {
    bxor(k0h, 0x736f6d65), bxor(k0l, 0x70736575), bxor(k1h, 0x646f7261), bxor(k1l, 0x6e646f6d),
    bxor(k0h, 0x6c796765), bxor(k0l, 0x6e657261), bxor(k1h, 0x74656462), bxor(k1l, 0x79746573),
  }
  -- v[a] and v[b] are the high halves of the words to add; the second is turned by n and then takes the sum.
  local function half(a, b, n)
    v[a], v[a + 1] = add64(v[a], v[a + 1], v[b], v[b + 1])
    local h, l = rol64(v[b], v[b + 1], n)
    v[b], v[b + 1] = bxor(h, v[a]), bxor(l, v[a + 1])
  end
  local function round()
    half(1, 3, 13)
    v[1], v[2] = v[2], v[1]
    half(5, 7, 16)
    half(1, 7, 21)
    half(5, 3, 17)
    v[5], v[6] = v[6], v[5]
  end
  local function word(h, l)
    v[7], v[8] = bxor(v[7], h), bxor(v[8], l)
    round()
    round()
    v[1], v[2] = bxor(v[1], h), bxor(v[2], l)
  end
  for at = 1, #msg, 8 do word(le32(msg, at + 4), le32(msg, at)) end -- a multiple of 8 bytes is all that is asked for here
  word(lsh(#msg % 256, 24), 0)
  v[6] = bxor(v[6], 255)
  for _ = 1, 4 do round() end
  return put32(bxor(bxor(v[1], v[3]), bxor(v[5], v[7]))) .. put32(bxor(bxor(v[2], v[4]), bxor(v[6], v[8])))
end

---------------------------------------------------------------------------------------------------- fields

local types = { [1] = "PROBE", [2] = "REPLY", [3] = "YIELD", [4] = "YIELD-REPLY", [16] = "HELLO", [17] = "KEY", [18] = "SYNC", [19] = "SLOTS", [20] = "POLICY" }
local kinds = { [1] = "courtesy", [2] = "claim", [3] = "graceful", [4] = "share" }
local results = { [0] = "none", "granted", "refused", "lease too young", "wrong incarnation" }
local states = { [0] = "none", "INIT", "READY", "STANDBY", "ACTIVE", "ACTIVE(!)", "DOWN", "LOST" }
local statuses = { [1] = "ok", [2] = "init", [3] = "problem" }
local modes = { [1] = "ha", [2] = "load sharing, multicast", [3] = "load sharing, unicast" }
local recoveries = { [1] = "maintain-current", [2] = "highest-priority" }
local verdicts = { [0] = "not checked", "good", "bad" }
local phases = { [0] = "none", "prepare", "commit" }
local roles = { [0] = "unknown", "owner", "copy", "off" }
local lanes = { [0] = "none", "delta", "bulk" }
local wants = { "words", "repair", "nothing", "fresh words", "read" }
local answers = { "accepted", "busy", "unfit" }
local tables = { "connections", "expectations", "set elements", "digest mark", [16] = "words", [17] = "end" }
local ops = { [0] = "none", "new", "update", "delete" }
local families = { [0] = "none", [2] = "IPv4", [10] = "IPv6" }
local installs = { [0] = "none", "loading", "prepared", "committing", "committed", "aborted", "refused", "confirmed", "rolling back", "rolled back" }
local decisions = { [0] = "unknown", "commit", "abort", "confirmed", "rolled back" }
local members = { [255] = "all" }
local somebody = { [255] = "nobody" }
for i = 0, 7 do
  members[i] = "member " .. i
  somebody[i] = members[i]
end

-- "ccp" is taken: PPP has a protocol of that name.
local ccp = Proto("holdfast", "Holdfast Cluster Control Protocol")
local f = {}
local function field(name, kind, label, ...)
  f[name] = ProtoField[kind]("holdfast." .. name, label, ...)
end

field("version", "uint8", "Version")
field("type", "uint8", "Type", base.DEC, types)
field("flags", "uint8", "Flags", base.HEX)
field("flags.query", "bool", "QUERY", 8, nil, 1)
field("key", "uint8", "Key number")
field("cluster", "uint16", "Cluster")
field("source", "uint8", "Source", base.DEC, members)
field("target", "uint8", "Target", base.DEC, members)
field("length", "uint16", "Body length")
field("incarnation", "uint64", "Incarnation", base.HEX)
field("sequence", "uint64", "Sequence")
field("echo_incarnation", "uint64", "Echo incarnation", base.HEX)
field("echo_stamp", "uint64", "Echo stamp")
field("tag", "uint64", "Tag", base.HEX)
field("tag.status", "uint8", "Tag status", base.DEC, verdicts)
field("nonce", "uint64", "Nonce", base.HEX)
field("term", "uint32", "Term")
field("group", "uint8", "Group")
field("bits", "uint8", "Bits", base.HEX)
local bits = { "answer", "forward", "alone", "hears_you", "restarting", "watched" }
for i, name in ipairs(bits) do field("bits." .. name, "bool", name, 8, nil, 2 ^ (i - 1)) end
field("kind", "uint8", "Kind", base.DEC, kinds)
field("min_age", "uint32", "Least lease age (ms)")
field("lease_age", "uint16", "Lease age (ms)")
field("fence", "uint32", "Fence term")
field("grantee", "uint8", "Grantee", base.DEC, somebody)
field("result", "uint8", "Result", base.DEC, results)
field("heard", "uint8", "Heard (ms ago)")
field("closed", "uint32", "Frames that met a closed gate")
field("sealed", "bytes", "Sealed body")
field("seal.status", "uint8", "Seal status", base.DEC, verdicts)
field("echo", "none", "Echo")
field("echo.member", "uint8", "Member", base.DEC, members)
field("echo.incarnation", "uint64", "Incarnation", base.HEX)
field("echo.sequence", "uint64", "Sequence")
field("tlv", "none", "TLV")
field("tlv.unknown", "bytes", "Unknown TLV")
field("state", "uint8", "State", base.DEC, states)
field("priority", "uint8", "Priority")
field("restarting", "bool", "Restarting", 8, nil, 1)
field("admin_down", "bool", "Admin down", 8, nil, 2)
field("stopping", "bool", "Stopping", 8, nil, 4)
field("view", "none", "View")
field("view.state", "uint8", "State", base.DEC, states)
field("view.age", "uint32", "Gate answered (ms ago)")
field("view.hello_age", "uint32", "HELLO (ms ago)")
field("interface", "none", "Interface")
field("interface.slot", "uint8", "Slot")
field("interface.carrier", "bool", "Carrier", 8, nil, 1)
field("interface.problem", "bool", "Problem", 8, nil, 2)
field("interface.proven", "bool", "Proven", 8, nil, 4)
field("interface.undecided", "bool", "Undecided", 8, nil, 8)
field("interface.heard", "uint8", "Members heard", base.HEX)
field("interface.carrier_age", "uint32", "Carrier changed (ms ago)")
field("interface.in_age", "uint32", "CCP in (ms ago)")
field("interface.out_age", "uint32", "CCP out (ms ago)")
field("interface.neighbour_age", "uint32", "Third station (ms ago)")
field("device", "none", "Device")
field("device.status", "uint8", "Status", base.DEC, statuses)
field("device.name", "string", "Name")
field("device.reason", "string", "Reason")
field("devices.truncated", "bool", "Truncated", 8, nil, 1)
field("policy.generation", "uint64", "Policy generation")
field("policy.frozen", "uint32", "Freeze left (ms)")
field("policy.digest", "bytes", "Policy digest")
field("policy.highest", "uint64", "Highest generation on disk")
field("attempt.number", "uint64", "Install")
field("attempt.generation", "uint64", "Install, generation")
field("attempt.digest", "bytes", "Install, digest")
field("attempt.state", "uint8", "Install, state", base.DEC, installs)
field("attempt.decision", "uint8", "Install, decision", base.DEC, decisions)
field("policy.what", "uint16", "Head (0) or piece, counted from 1")
field("policy.total", "uint32", "Length of the whole")
field("policy.offset", "uint32", "Offset")
field("policy.length", "uint32", "Length")
field("policy.bytes", "bytes", "Bytes")
field("config.digest", "bytes", "Configuration digest")
field("mode", "uint8", "Mode", base.DEC, modes)
field("recovery", "uint8", "Recovery", base.DEC, recoveries)
field("protocol", "uint32", "Protocol version")
field("build", "string", "Build")
field("capabilities", "uint64", "Capabilities", base.HEX)
field("load.cpu", "uint16", "CPU (per mille)")
field("load.probe", "uint32", "Probe late (us)")
field("load.lease", "uint32", "Lease renewal late (us)")
field("load.softirq", "uint32", "Softirq late (us)")
field("forced.to", "uint8", "Forced to", base.DEC, somebody)
field("forced.left", "uint32", "Forced, time left (ms)")
field("forced.id", "uint64", "Forced, order number")
field("forced.done", "bool", "Forced, done", 8, nil, 1)
field("budget.left", "uint8", "Voluntary moves left")
field("budget.limit", "uint8", "Voluntary moves, limit")
field("budget.damped", "uint32", "Damped (ms)")
field("boot_id", "bytes", "Boot id")
field("keys.using", "uint8", "Key in use")
field("keys.number", "uint8", "Key held")
field("keys.fingerprint", "uint64", "Fingerprint", base.HEX)
field("weight", "uint32", "Weight of all problems")
field("devices.omitted", "uint8", "Devices left out")
field("sync.incarnation", "uint64", "Incarnation of the sync plane", base.HEX)
field("sync.role", "uint8", "Role", base.DEC, roles)
field("sync.current", "bool", "Current", 8, nil, 1)
field("sync.at_risk", "bool", "At risk", 8, nil, 2)
field("sync.stopping", "bool", "Stopping", 8, nil, 2)
field("sync.evicted", "bool", "Target is evicted", 8, nil, 4)
field("sync.unpacks", "bool", "Takes packed records", 8, nil, 8)
field("sync.losses", "uint16", "Losses of events")
field("sync.entries", "uint32", "Entries")
field("sync.digest", "uint64", "Digest", base.HEX)
field("sync.lag_records", "uint32", "Lag (records)")
field("sync.lag", "uint32", "Lag (ms)")
field("sync.flush_ask", "uint32", "Asks to flush")
local traffic = { "taken", "bytes", "passed", "corrected", "passed_in", "duplicates", "unknown", "foreign" }
for _, name in ipairs(traffic) do field("traffic." .. name, "uint64", "Traffic " .. name) end
field("slots.term", "uint32", "Table term")
field("slots.number", "uint32", "Table number")
field("slots.phase", "uint8", "Table phase", base.DEC, phases)
field("slots.leader", "uint8", "Made by", base.DEC, somebody)
field("slots.key", "bytes", "Secret of the hash")
field("slots.entries", "bytes", "Slots")
field("share.term", "uint32", "Share term")
for i, name in ipairs({ "open", "flushed", "leaving", "dropped", "ordered", "fit" }) do field("share." .. name, "bool", "Share " .. name, 8, nil, 2 ^ (i - 1)) end
field("share.follows", "uint8", "Follows", base.DEC, somebody)
field("share.serial", "uint32", "Order of weights")
field("share.by", "uint8", "Ordered at", base.DEC, members)
field("share.weight", "uint16", "Weight")
field("share.rules", "uint64", "Rules of steering", base.HEX)
field("sync.flushed", "uint32", "Has flushed")
field("sync.newest", "uint64", "Newest sequence of the delta lane")
field("part", "none", "Part")
field("part.unknown", "bytes", "Unknown part")
field("lane", "uint8", "Lane", base.DEC, lanes)
field("log", "uint64", "Log", base.HEX)
field("batch", "uint64", "Sequence of the batch")
field("floor", "uint64", "Floor")
field("next", "uint64", "Next")
field("range", "none", "Range")
field("range.first", "uint64", "First")
field("range.last", "uint64", "Last")
field("limit", "uint64", "Credit (bytes)")
field("want", "uint8", "Want", base.DEC, wants)
field("through", "uint64", "Applied through")
field("buckets", "bytes", "Buckets")
field("slots.rules", "uint64", "Slot rules", base.HEX)
field("slots.term", "uint32", "Slot table, term")
field("slots.number", "uint32", "Slot table, number")
field("slots.commit", "bool", "Committed", 8, nil, 1)
field("answer", "uint8", "Answer", base.DEC, answers)
field("answer.records", "uint32", "Records to come")
field("address4", "ipv4", "Address of the sender")
field("address6", "ipv6", "Address of the sender")
field("record", "none", "Record")
field("record.table", "uint8", "Table", base.DEC, tables)
field("record.op", "uint8", "Operation", base.DEC, ops)
field("record.family", "uint8", "Family", base.DEC, families)
field("record.attributes", "bytes", "Attributes")
field("mark.entries", "uint64", "Entries")
field("mark.digest", "uint64", "Digest", base.HEX)
field("word", "none", "Word")
field("word.bucket", "uint16", "Bucket")
field("word.xor", "uint64", "XOR", base.HEX)
field("word.count", "uint32", "Entries")
field("end.position", "uint64", "Position in the delta lane")
field("end.records", "uint32", "Entries sent")
field("end.complete", "bool", "Complete", 8, nil, 1)

local list = {}
for _, v in pairs(f) do list[#list + 1] = v end
ccp.fields = list

local bad_tag = ProtoExpert.new("holdfast.tag.bad", "Tag is wrong: forged, damaged, or under another key", expert.group.CHECKSUM, expert.severity.ERROR)
local bad_seal = ProtoExpert.new("holdfast.seal.bad", "Seal is wrong: forged, damaged, or under another key", expert.group.CHECKSUM, expert.severity.ERROR)
local malformed = ProtoExpert.new("holdfast.malformed", "Malformed", expert.group.MALFORMED, expert.severity.ERROR)
ccp.experts = { bad_tag, bad_seal, malformed }

ccp.prefs.ethertype = Pref.uint("EtherType", 0x88b5, "EtherType of CCP in this cluster")
ccp.prefs.key = Pref.string("Cluster key", "", "64 hex digits, or NUMBER:HEX,NUMBER:HEX during a rotation")

---------------------------------------------------------------------------------------------------- keys

local keys = {}    -- by number; 0 is the key for every number
local derived = {} -- what was derived from them

local function from_hex(s) return (s:gsub("%x%x", function(h) return string.char(tonumber(h, 16)) end)) end

local function load_keys(text)
  keys, derived = {}, {}
  for part in text:gsub("%s", ""):gmatch("[^,]+") do
    local number, hex = part:match("^(%d+):(%x+)$")
    hex = hex or part:match("^%x+$")
    if hex and #hex == 64 then keys[tonumber(number or 0)] = from_hex(hex) end
  end
end

local function key_for(number, info, n)
  local key = keys[number] or keys[0]
  if not key then return nil end
  local id = number .. info
  derived[id] = derived[id] or derive(key, info, n)
  return derived[id]
end

local registered
local function setup()
  load_keys(ccp.prefs.key)
  local ether = DissectorTable.get("ethertype")
  if registered then ether:remove(registered, ccp) end
  registered = ccp.prefs.ethertype
  ether:add(registered, ccp)
end
ccp.prefs_changed = setup
ccp.init = function() load_keys(ccp.prefs.key) end -- with -o the preference is set without prefs_changed

---------------------------------------------------------------------------------------------------- bodies

local function add_bits(tree, range)
  local sub = tree:add(f["bits"], range)
  for _, name in ipairs(bits) do sub:add(f["bits." .. name], range) end
end

local function gate_body(typ, body, tree)
  tree:add(f["nonce"], body(0, 8))
  tree:add(f["term"], body(8, 4))
  tree:add(f["group"], body(12, 1))
  add_bits(tree, body(13, 1))
  if typ == 3 then
    tree:add(f["kind"], body(14, 1))
    tree:add(f["min_age"], body(16, 4))
  elseif typ == 2 or typ == 4 then
    local age = tree:add(f["lease_age"], body(14, 2))
    if body(14, 2):uint() == 0xffff then age:append_text(" (no lease)") end
    tree:add(f["fence"], body(16, 4))
    tree:add(f["grantee"], body(20, 1))
    tree:add(f["result"], body(21, 1))
    for i = 0, 7 do tree:add(f["heard"], body(24 + i, 1)):append_text(" member " .. i) end
    tree:add(f["closed"], body(32, 4))
  end
end

-- Adds the fields named in order, each {name, length}; the value may be longer.
local function add_fields(tree, value, fields)
  local at = 0
  for _, d in ipairs(fields) do
    tree:add(f[d[1]], value(at, d[2]))
    at = at + d[2]
  end
end

local function ages(prefix, ...)
  local out = {}
  for i, name in ipairs({ ... }) do out[i] = { prefix .. name, 4 } end
  return out
end

-- The TLVs of a HELLO: name, least length, dissector of the value.
local tlvs = {
  [1] = { "state", 7, function(v, t)
    add_fields(t, v, { { "state", 1 }, { "term", 4 }, { "priority", 1 } })
    for _, name in ipairs({ "restarting", "admin_down", "stopping" }) do t:add(f[name], v(6, 1)) end
  end },
  [2] = { "view", 1, function(v, t)
    local n = v(0, 1):uint()
    if n < 9 then error("entries too short") end
    for i = 0, math.min(8, math.floor((v:len() - 1) / n)) - 1 do
      local e = v(1 + n * i, n)
      local sub = t:add(f["view"], e)
      sub:append_text(" of member " .. i .. ": " .. (states[e(0, 1):uint()] or "?"))
      add_fields(sub, e, { { "view.state", 1 }, { "view.age", 4 }, { "view.hello_age", 4 } })
    end
  end },
  [3] = { "interfaces", 1, function(v, t)
    local n = v(0, 1):uint()
    if n < 19 then error("entries too short") end
    for i = 0, math.floor((v:len() - 1) / n) - 1 do
      local e = v(1 + n * i, n)
      local sub = t:add(f["interface"], e)
      sub:append_text(" " .. e(0, 1):uint())
      sub:add(f["interface.slot"], e(0, 1))
      for _, name in ipairs({ "carrier", "problem", "proven", "undecided" }) do sub:add(f["interface." .. name], e(1, 1)) end
      sub:add(f["interface.heard"], e(2, 1))
      add_fields(sub, e(3, 16), ages("interface.", "carrier_age", "in_age", "out_age", "neighbour_age"))
    end
  end },
  [4] = { "devices", 1, function(v, t)
    t:add(f["devices.truncated"], v(0, 1))
    local at = 1
    while at < v:len() do
      local name = v(at + 2, v(at + 1, 1):uint())
      local r = at + 2 + name:len()
      local reason = v(r + 1, v(r, 1):uint())
      local stop = r + 1 + reason:len()
      local sub = t:add(f["device"], v(at, stop - at))
      sub:append_text(" " .. name:string() .. ": " .. (statuses[v(at, 1):uint()] or "?"))
      sub:add(f["device.status"], v(at, 1))
      sub:add(f["device.name"], name)
      sub:add(f["device.reason"], reason)
      at = stop
    end
  end },
  [5] = { "policy", 12, function(v, t) add_fields(t, v, { { "policy.generation", 8 }, { "policy.frozen", 4 } }) end },
  [6] = { "config", 32, function(v, t) add_fields(t, v, { { "config.digest", 32 } }) end },
  [7] = { "mode", 2, function(v, t) add_fields(t, v, { { "mode", 1 }, { "recovery", 1 } }) end },
  [8] = { "version", 5, function(v, t)
    t:add(f["protocol"], v(0, 4))
    t:add(f["build"], v(5, v(4, 1):uint()))
  end },
  [9] = { "capabilities", 8, function(v, t) add_fields(t, v, { { "capabilities", 8 } }) end },
  [10] = { "load", 14, function(v, t)
    t:add(f["load.cpu"], v(0, 2))
    add_fields(t, v(2, 12), ages("load.", "probe", "lease", "softirq"))
  end },
  [11] = { "forced", 13, function(v, t)
    add_fields(t, v, { { "forced.to", 1 }, { "forced.left", 4 }, { "forced.id", 8 } })
    if v:len() > 13 then t:add(f["forced.done"], v(13, 1)) end
  end },
  [12] = { "budget", 6, function(v, t) add_fields(t, v, { { "budget.left", 1 }, { "budget.limit", 1 }, { "budget.damped", 4 } }) end },
  [13] = { "boot", 16, function(v, t) add_fields(t, v, { { "boot_id", 16 } }) end },
  [14] = { "keys", 1, function(v, t)
    t:add(f["keys.using"], v(0, 1))
    for at = 1, v:len() - 9, 9 do add_fields(t, v(at, 9), { { "keys.number", 1 }, { "keys.fingerprint", 8 } }) end
  end },
  [15] = { "weight", 5, function(v, t) add_fields(t, v, { { "weight", 4 }, { "devices.omitted", 1 } }) end },
  [16] = { "sync", 38, function(v, t)
    add_fields(t, v, { { "sync.incarnation", 8 }, { "sync.role", 1 } })
    for _, name in ipairs({ "current", "at_risk" }) do t:add(f["sync." .. name], v(9, 1)) end
    add_fields(t, v(10, 28), { { "sync.entries", 4 }, { "sync.digest", 8 }, { "sync.lag_records", 4 }, { "sync.lag", 4 }, { "sync.newest", 8 } })
  end },
  [17] = { "flush", 8, function(v, t) add_fields(t, v, { { "sync.flush_ask", 4 }, { "sync.flushed", 4 } }) end },
  [18] = { "share", 37, function(v, t)
    add_fields(t, v, { { "slots.term", 4 }, { "slots.number", 4 }, { "slots.phase", 1 }, { "slots.leader", 1 }, { "share.term", 4 } })
    for _, name in ipairs({ "open", "flushed", "leaving", "dropped", "ordered", "fit" }) do t:add(f["share." .. name], v(14, 1)) end
    add_fields(t, v(15, 6), { { "share.follows", 1 }, { "share.serial", 4 }, { "share.by", 1 } })
    for i = 0, 7 do t:add(f["share.weight"], v(21 + 2 * i, 2)):append_text(" of member " .. i) end
    if v:len() >= 45 then t:add(f["share.rules"], v(37, 8)) end
  end },
  [19] = { "traffic", 64, function(v, t)
    for i, name in ipairs(traffic) do t:add(f["traffic." .. name], v(8 * (i - 1), 8)) end
  end },
}

tlvs[20] = { "policy state", 91, function(v, t)
  add_fields(t, v(0, 82), { { "policy.digest", 32 }, { "attempt.number", 8 }, { "attempt.generation", 8 }, { "attempt.digest", 32 }, { "attempt.state", 1 }, { "attempt.decision", 1 } })
  t:add(f["policy.highest"], v(83, 8))
end }

local function hello(body, tree)
  local at = 0
  while body:len() - at >= 4 do
    local typ, n = body(at, 2):uint(), body(at + 2, 2):uint()
    if typ == 0 then return end
    if body:len() - at - 4 < n then
      tree:add_proto_expert_info(malformed, "TLV " .. typ .. " runs over the end")
      return
    end
    local known = tlvs[typ]
    if not known then
      tree:add(f["tlv.unknown"], body(at, 4 + n)):append_text(" (type " .. typ .. ")")
    else
      local sub = tree:add(f["tlv"], body(at, 4 + n))
      sub:append_text(" " .. typ .. ": " .. known[1])
      -- A value that contradicts itself makes a range that does not exist, which is an error of Lua's.
      local ok = n >= known[2] and (n == 0 or pcall(known[3], body(at + 4, n):tvb(), sub))
      if not ok then sub:add_proto_expert_info(malformed, "TLV " .. typ .. " is malformed") end
    end
    at = at + 4 + n
  end
end

-- The slot table that a status, a request or a mark may end with.
local function slot_table(v, at, t)
  if v:len() < at + 17 then return end
  add_fields(t, v(at, 17), { { "slots.rules", 8 }, { "slots.term", 4 }, { "slots.number", 4 } })
  t:add(f["slots.commit"], v(at + 16, 1))
end

-- The attributes of records that are not netlink's, by table: least length, dissector.
local attributes = {
  [4] = { 16, function(v, t)
    add_fields(t, v, { { "mark.entries", 8 }, { "mark.digest", 8 } })
    slot_table(v, 16, t)
  end },
  [16] = { 2, function(v, t)
    local first = v(0, 2):uint()
    for at = 2, v:len() - 1, 12 do
      local sub = t:add(f["word"], v(at, 12))
      sub:add(f["word.bucket"], v(0, 2), first + (at - 2) / 12):set_generated()
      add_fields(sub, v(at, 12), { { "word.xor", 8 }, { "word.count", 4 } })
    end
  end },
  [17] = { 13, function(v, t) add_fields(t, v, { { "end.position", 8 }, { "end.records", 4 }, { "end.complete", 1 } }) end },
}

local function records(v, tree)
  local at = 0
  while at < v:len() do
    local n = v(at, 2):uint()
    if n < 8 then error("record too short") end
    local sub = tree:add(f["record"], v(at, n))
    local kind = v(at + 2, 1):uint()
    sub:append_text(" of " .. (tables[kind] or "table " .. kind) .. ", " .. (ops[v(at + 3, 1):uint()] or "?"))
    add_fields(sub, v(at, n)(2, 3), { { "record.table", 1 }, { "record.op", 1 }, { "record.family", 1 } })
    local known = attributes[kind]
    if n > 8 then
      local attrs = v(at + 8, n - 8)
      if not known then
        sub:add(f["record.attributes"], attrs)
      elseif attrs:len() < known[1] then
        error("attributes too short")
      else
        known[2](attrs, sub)
      end
    end
    at = at + math.ceil(n / 4) * 4
  end
end

-- Packed records, as they were before: each says the words in which it differs from one before it.
local function unpacked(v)
  local b, models, last, at, size = v:bytes(), {}, nil, 1, 0
  local all = ByteArray.new()
  while at < b:len() do
    local words = b:get_index(at) + 1
    local given = at + 1 + math.ceil(words / 8)
    local model = models[words % 64] or last
    local record = ByteArray.new()
    record:set_size(4 * words)
    size = size + 4 * words
    if given > b:len() or size > 16384 then error("packed record too long") end
    for i = 0, words - 1 do
      local said = math.floor(b:get_index(at + 1 + math.floor(i / 8)) / 2 ^ (i % 8)) % 2 == 1
      for k = 4 * i, 4 * i + 3 do
        if said then
          record:set_index(k, b:get_index(given + k - 4 * i))
        else
          record:set_index(k, model and k < model:len() and model:get_index(k) or 0)
        end
      end
      if said then given = given + 4 end
    end
    models[words % 64], last, at = record, record, given
    all:append(record)
  end
  return all:tvb("Unpacked records")
end

local function ranges(v, at, tree)
  while at < v:len() do
    local sub = tree:add(f["range"], v(at, 16))
    add_fields(sub, v(at, 16), { { "range.first", 8 }, { "range.last", 8 } })
    at = at + 16
  end
end

-- The parts of a SYNC: name, least length, dissector of the value.
local parts = {
  [1] = { "status", 20, function(v, t)
    t:add(f["sync.role"], v(0, 1))
    for _, name in ipairs({ "current", "stopping", "evicted", "unpacks" }) do t:add(f["sync." .. name], v(1, 1)) end
    add_fields(t, v(2, 18), { { "sync.losses", 2 }, { "term", 4 }, { "sync.entries", 4 }, { "sync.digest", 8 } })
    slot_table(v, 20, t)
  end },
  [2] = { "batch", 24, function(v, t)
    add_fields(t, v, { { "log", 8 }, { "batch", 8 }, { "floor", 8 } })
    if v:len() <= 24 then return end
    local list = v(24):tvb()
    if list(0, 1):uint() == 255 then list = unpacked(list) end
    records(list, t)
  end },
  [3] = { "ack", 16, function(v, t)
    add_fields(t, v, { { "log", 8 }, { "next", 8 } })
    ranges(v, 16, t)
  end },
  [4] = { "gap", 8, function(v, t)
    add_fields(t, v, { { "log", 8 } })
    ranges(v, 8, t)
  end },
  [5] = { "credit", 16, function(v, t) add_fields(t, v, { { "log", 8 }, { "limit", 8 } }) end },
  [6] = { "request", 153, function(v, t)
    add_fields(t, v, { { "log", 8 }, { "want", 1 }, { "through", 8 }, { "limit", 8 }, { "buckets", 128 } })
    slot_table(v, 153, t)
  end },
  [8] = { "addresses", 0, function(v, t)
    local at = 0
    while at + 2 <= v:len() do
      local n = v(at, 1):uint()
      t:add(f[n == 4 and "address4" or "address6"], v(at + 2, n))
      at = at + 2 + n
    end
  end },
  [7] = { "answer", 13, function(v, t) add_fields(t, v, { { "log", 8 }, { "answer", 1 }, { "answer.records", 4 } }) end },
}

-- The parts of a POLICY, likewise.
local attempt = { { "attempt.number", 8 }, { "attempt.generation", 8 }, { "attempt.digest", 32 } }
local policies = {
  [1] = { "want", 34, function(v, t)
    add_fields(t, v, { { "policy.digest", 32 }, { "policy.what", 2 } })
    for at = 34, v:len() - 1, 8 do add_fields(t, v(at, 8), { { "policy.offset", 4 }, { "policy.length", 4 } }) end
  end },
  [2] = { "data", 42, function(v, t)
    add_fields(t, v, { { "policy.digest", 32 }, { "policy.what", 2 }, { "policy.total", 4 }, { "policy.offset", 4 } })
    if v:len() > 42 then t:add(f["policy.bytes"], v(42)) end
  end },
  [3] = { "none", 32, function(v, t) add_fields(t, v, { { "policy.digest", 32 } }) end },
  [4] = { "asked", 48, function(v, t) add_fields(t, v, attempt) end },
  [5] = { "told", 90, function(v, t)
    add_fields(t, v, attempt)
    t:add(f["attempt.decision"], v(48, 1))
    add_fields(t, v(50, 40), { { "policy.generation", 8 }, { "policy.digest", 32 } })
  end },
}

local function parts_of(parts, body, tree, lanes)
  local at = 0
  while body:len() - at >= 4 do
    local kind, n = body(at, 1):uint(), body(at + 2, 2):uint()
    if kind == 0 then return end
    if body:len() - at - 4 < n then
      tree:add_proto_expert_info(malformed, "part " .. kind .. " runs over the end")
      return
    end
    local known = parts[kind]
    if not known then
      tree:add(f["part.unknown"], body(at, 4 + n)):append_text(" (kind " .. kind .. ")")
    else
      local sub = tree:add(f["part"], body(at, 4 + n))
      sub:append_text(" " .. kind .. ": " .. known[1])
      if lanes then sub:add(f["lane"], body(at + 1, 1)) end
      local ok = n >= known[2] and pcall(known[3], body(at + 4, n):tvb(), sub)
      if not ok then sub:add_proto_expert_info(malformed, "part " .. kind .. " is malformed") end
    end
    at = at + 4 + n
  end
end

local function sync(body, tree) parts_of(parts, body, tree, true) end
local function policy(body, tree) parts_of(policies, body, tree, false) end

local function slots(body, tree)
  local at = 0
  while body:len() - at >= 4 do
    local typ, n = body(at, 2):uint(), body(at + 2, 2):uint()
    if typ == 0 then return end
    if body:len() - at - 4 < n or (typ == 1 and n < 1081) then
      tree:add_proto_expert_info(malformed, "TLV " .. typ .. " is malformed")
      return
    end
    if typ == 1 then
      local v = body(at + 4, n):tvb()
      local sub = tree:add(f["tlv"], body(at, 4 + n))
      sub:append_text(" 1: table")
      add_fields(sub, v, { { "slots.term", 4 }, { "slots.number", 4 }, { "slots.phase", 1 } })
      for i = 0, 7 do sub:add(f["share.term"], v(9 + 4 * i, 4)):append_text(" of member " .. i) end
      sub:add(f["slots.key"], v(41, 16))
      sub:add(f["slots.entries"], v(57, 1024))
    else
      tree:add(f["tlv.unknown"], body(at, 4 + n)):append_text(" (type " .. typ .. ")")
    end
    at = at + 4 + n
  end
end

local bodies = { [16] = hello, [18] = sync, [19] = slots, [20] = policy }

local function sealed_plain(plain, typ, tree)
  local n = plain(0, 1):uint()
  if plain:len() < 1 + 17 * n then
    tree:add_proto_expert_info(malformed, "echo list runs over the end")
    return
  end
  for i = 0, n - 1 do
    local e = plain(1 + 17 * i, 17)
    local sub = tree:add(f["echo"], e)
    sub:append_text(" of member " .. e(0, 1):uint())
    add_fields(sub, e, { { "echo.member", 1 }, { "echo.incarnation", 8 }, { "echo.sequence", 8 } })
  end
  if bodies[typ] and plain:len() > 1 + 17 * n then bodies[typ](plain(1 + 17 * n):tvb(), tree) end
end

local function sealed_body(frame, typ, n, tree)
  tree:add(f["sealed"], frame(56, n))
  local key = key_for(frame(3, 1):uint(), "seal " .. frame(4, 2):raw() .. frame(6, 1):raw() .. frame(16, 8):raw(), 32)
  local plain = key and gcm_open(key, "\0\0\0\0" .. frame(24, 8):raw(), frame(56, n):raw(), frame(0, 48):raw())
  local status = tree:add(f["seal.status"], frame(56, n), key and (plain and 1 or 2) or 0):set_generated()
  if key and not plain then status:add_proto_expert_info(bad_seal) end
  if plain then
    local hex = plain:gsub(".", function(c) return string.format("%02x", c:byte()) end)
    sealed_plain(ByteArray.new(hex):tvb("Opened"), typ, tree)
  end
end

---------------------------------------------------------------------------------------------------- frames

function ccp.dissector(frame, pinfo, root)
  if frame:len() < 56 then return 0 end
  pinfo.cols.protocol = "CCP"
  local typ, n = frame(1, 1):uint(), frame(8, 2):uint()
  local tree = root:add(ccp, frame(0, math.min(frame:len(), 56 + n)))
  tree:append_text(", " .. (types[typ] or "type " .. typ))
  for _, d in ipairs({ { "version", 0, 1 }, { "type", 1, 1 }, { "key", 3, 1 }, { "cluster", 4, 2 }, { "source", 6, 1 }, { "target", 7, 1 },
    { "length", 8, 2 }, { "incarnation", 16, 8 }, { "sequence", 24, 8 }, { "echo_incarnation", 32, 8 }, { "echo_stamp", 40, 8 } }) do
    tree:add(f[d[1]], frame(d[2], d[3]))
  end
  tree:add(f["flags"], frame(2, 1)):add(f["flags.query"], frame(2, 1))
  local tag = tree:add(f["tag"], frame(48, 8))
  pinfo.cols.info = string.format("%s %s > %s", types[typ] or "type " .. typ,
    members[frame(6, 1):uint()] or "member ?", members[frame(7, 1):uint()] or "member ?")
  if frame(0, 1):uint() ~= 1 or typ == 0 or n < 48 or n > 1344 or frame:len() < 56 + n or (typ < 16 and n ~= 48) then
    tree:add_proto_expert_info(malformed, "not a frame of version 1")
    return frame:len()
  end
  local key = key_for(frame(3, 1):uint(), "gate " .. frame(4, 2):raw(), 16)
  local good = key and siphash(key, frame(0, 48):raw() .. frame(56, 48):raw()) == frame(48, 8):raw()
  local status = tree:add(f["tag.status"], frame(48, 8), key and (good and 1 or 2) or 0):set_generated()
  if key and not good then
    status:add_proto_expert_info(bad_tag)
    pinfo.cols.info:append(" [bad tag]")
  end
  if typ < 16 then
    gate_body(typ, frame(56, 48):tvb(), tree)
  else
    sealed_body(frame, typ, n, tree)
  end
  return 56 + n
end

setup()
