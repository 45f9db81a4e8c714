-- Wireshark knows RELOAD and SIP, but inside of TLS it looks for them at fixed ports only. With this it finds them at
-- any port, in the captures that `--pcap` of the examples writes and in others:
--
--   wireshark -X lua_script:examples/wireshark.lua FILE
--   tshark -X lua_script:examples/wireshark.lua -r FILE -Y 'reload || sip'
--
-- What is a message is left to Wireshark's own dissectors; this only tells where one begins and ends.

-- The framing header of RFC 6940 §6.6.2: DATA is 128, a sequence number, a length of 3 bytes and a message, which
-- begins with its token; ACK is 129, a sequence number and a mask.
local DATA, ACK = 128, 129
local HEADER = 9
local TOKEN = 0xd2454c4f

local function length_of_frame(bytes, _, offset)
    if bytes(offset, 1):uint() == DATA then
        return 8 + bytes(offset + 5, 3):uint()
    end
    return HEADER
end

local framing = Dissector.get("reload-framing")
local reload = Proto("reload-tls", "RELOAD over TLS")

function reload.dissector(bytes, _, tree)
    dissect_tcp_pdus(bytes, tree, HEADER, length_of_frame, function(frame, packet, within)
        return framing:call(frame, packet, within)
    end)
    return bytes:len()
end

reload:register_heuristic("tls", function(bytes, packet, tree)
    if bytes:len() < HEADER then
        return false
    end
    local kind = bytes(0, 1):uint()
    if kind ~= ACK and (kind ~= DATA or bytes:len() >= 12 and bytes(8, 4):uint() ~= TOKEN) then
        return false
    end
    reload.dissector(bytes, packet, tree)
    return true
end)

-- A request line ends with the version, a status line begins with it (RFC 3261 §7).
local sip = Dissector.get("sip.tcp")
local secured = Proto("sip-tls", "SIP over TLS")

secured:register_heuristic("tls", function(bytes, packet, tree)
    local first = bytes:raw(0, math.min(bytes:len(), 512)):match("^[^\r\n]+") or ""
    if not (first:match("^SIP/2%.0 ") or first:match(" SIP/2%.0$")) then
        return false
    end
    sip:call(bytes, packet, tree)
    return true
end)
