package edge

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNetworks(t *testing.T) {
	var n Networks
	if err := n.UnmarshalText([]byte("203.0.113.0/24, 203.0.113.128/25,10.0.0.0/8,198.51.100.7,2001:db8::/32,::1")); err != nil {
		t.Fatal(err)
	}
	if n.Len() != 6 {
		t.Errorf("%d networks", n.Len())
	}
	for text, want := range map[string]bool{
		"203.0.113.0": true, "203.0.113.200": true, "203.0.113.255": true, "203.0.114.0": false, "203.0.112.255": false,
		"9.255.255.255": false, "10.0.0.0": true, "10.255.255.255": true, "11.0.0.0": false,
		"198.51.100.6": false, "198.51.100.7": true, "198.51.100.8": false,
		"2001:db8::": true, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff": true, "2001:db9::": false, "::1": true, "::2": false, "::": false,
	} {
		if got := n.Contains(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: contained %v", text, got)
		}
	}
	if n.Contains(netip.Addr{}) || (Networks{}).Contains(netip.MustParseAddr("::1")) {
		t.Error("the zero address, or the zero set, contains")
	}
	if err := new(Networks).UnmarshalText(nil); err != nil {
		t.Errorf("an empty flag: %v", err)
	}
	var all Networks
	if err := all.UnmarshalText([]byte("0.0.0.0/0,::/0")); err != nil || !all.Contains(netip.MustParseAddr("255.255.255.255")) || all.Contains(netip.Addr{}) {
		t.Errorf("everything: %v", err)
	}
}

// TestNetworksLaw: the set has an address when, and only when, one of the networks has it.
func TestNetworksLaw(t *testing.T) {
	address := rapid.Custom(func(t *rapid.T) netip.Addr {
		// Few values, so that networks nest and touch.
		if rapid.Bool().Draw(t, "v6") {
			return netip.AddrFrom16([16]byte{0x20, 15: rapid.Byte().Draw(t, "low")})
		}
		return netip.AddrFrom4([4]byte{10, 0, rapid.ByteRange(0, 1).Draw(t, "mid"), rapid.Byte().Draw(t, "low")})
	})
	rapid.Check(t, func(t *rapid.T) {
		var list []netip.Prefix
		for range rapid.IntRange(0, 12).Draw(t, "networks") {
			a := address.Draw(t, "network")
			list = append(list, netip.PrefixFrom(a, rapid.IntRange(a.BitLen()-10, a.BitLen()).Draw(t, "bits")).Masked())
		}
		n := networksOf(list)
		for range 20 {
			a, want := address.Draw(t, "address"), false
			for _, p := range list {
				want = want || p.Contains(a)
			}
			if n.Contains(a) != want {
				t.Fatalf("%v of %v: %v", a, list, !want)
			}
		}
	})
}

func TestNetworksThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		" ": "want a network", "10.0.0.0/33": "want a network", "here": "want a network", "fe80::1%eth0": "want a network", "10.0.0.0/8,": "want a network",
		"203.0.113.7/24": "write 203.0.113.0/24", "::ffff:10.0.0.0/104": "write it as IPv4", "10.0.0.0/8;11.0.0.0/8": "want a network",
	} {
		var n Networks
		if err := n.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestSourcesFile(t *testing.T) {
	good, problems := ParseSources([]byte("sources:\n  - 203.0.113.0/24\n  - \"2001:db8::/32\"\n"))
	if len(problems) > 0 || good.Len() != 2 || !good.Contains(netip.MustParseAddr("2001:db8::7")) {
		t.Errorf("%v, %v", good, problems)
	}
	for text, want := range map[string][]string{
		"":            {"1:1: sources has no network"},
		"sources: []": {"1:10: sources has no network"},
		"sources:\n  - 203.0.113.0/24\n  - 203.0.113.7/24\n  - nonsense\n": {"3:5: sources[1]: is an address within", "4:5: sources[2]: is no network"},
		"sources: 203.0.113.0/24":                         {"1:10: sources: want a list"},
		"sources: [203.0.113.0/24, ::/0]":                 {"1: not YAML: ", "in quotes"},
		"sources: [7]":                                    {"1:11: sources[0]: want text"},
		"source: [203.0.113.0/24]":                        {"did you mean sources", "sources has no network"},
		"sources: [203.0.113.0/24]\nsources: [\"::/0\"]":  {"2:1: sources: the key stands twice"},
		"sources: [\"203.0.113.0/24\"]\nmore: [\"::/0\"]": {"more: unknown key"},
	} {
		_, problems := ParseSources([]byte(text))
		lines := strings.Join(problems.Lines(""), "\n")
		for _, part := range want {
			if !strings.Contains(lines, part) {
				t.Errorf("%q: %q is not in\n%s", text, part, lines)
			}
		}
		if strings.Contains(lines, "nonsense") {
			t.Errorf("a value is quoted: %s", lines)
		}
	}
}

func TestPeer(t *testing.T) {
	for _, c := range []struct {
		addr net.Addr
		want string
	}{
		{&net.TCPAddr{IP: net.ParseIP("::ffff:203.0.113.7"), Port: 1}, "203.0.113.7"},
		{&net.TCPAddr{IP: net.ParseIP("203.0.113.7").To4(), Port: 1}, "203.0.113.7"},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0"}, "fe80::1"},
		{&net.UnixAddr{Name: "x"}, "invalid IP"},
		{nil, "invalid IP"},
	} {
		if got := Peer(c.addr).String(); got != c.want {
			t.Errorf("%v: %s, want %s", c.addr, got, c.want)
		}
	}
}
