package edge

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Networks is a set of addresses, made of networks and single addresses. It is immutable; the
// zero value is empty. Contains costs a binary search, whatever their number is.
type Networks struct {
	spans []span // in order, none touches another
	count int    // networks as they were written
}

// span is a run of addresses of one family, both ends included.
type span struct{ first, last netip.Addr }

// networksOf returns the set of all addresses in any of the networks.
func networksOf(networks []netip.Prefix) Networks {
	spans := make([]span, 0, len(networks))
	for _, p := range networks {
		spans = append(spans, span{p.Masked().Addr(), lastOf(p)})
	}
	slices.SortFunc(spans, func(a, b span) int { return a.first.Compare(b.first) })
	merged := spans[:0]
	for _, s := range spans {
		if n := len(merged); n > 0 && s.first.Compare(merged[n-1].last) <= 0 {
			if merged[n-1].last.Less(s.last) {
				merged[n-1].last = s.last
			}
			continue
		}
		merged = append(merged, s)
	}
	return Networks{spans: merged, count: len(networks)}
}

// lastOf returns the last address of a network.
func lastOf(p netip.Prefix) netip.Addr {
	bytes := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < 8*len(bytes); bit++ {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ := netip.AddrFromSlice(bytes)
	return last
}

// Contains says whether addr, unmapped and without a zone as Peer returns it, is in the set.
// It does not allocate. The zero address is in no set.
func (n Networks) Contains(addr netip.Addr) bool {
	low, high := 0, len(n.spans)
	for low < high {
		middle := (low + high) / 2
		if s := &n.spans[middle]; addr.Less(s.first) {
			high = middle
		} else if s.last.Less(addr) {
			low = middle + 1
		} else {
			return addr.IsValid()
		}
	}
	return false
}

// Len returns the number of networks that the set was made of.
func (n Networks) Len() int { return n.count }

// UnmarshalText reads networks with commas between, as flags have them; no text is the empty
// set.
func (n *Networks) UnmarshalText(text []byte) error {
	var list []netip.Prefix
	if len(text) == 0 {
		*n = Networks{}
		return nil
	}
	for part := range strings.SplitSeq(string(text), ",") {
		network, err := parseNetwork(strings.TrimSpace(part))
		if err != nil {
			return err
		}
		list = append(list, network)
	}
	*n = networksOf(list)
	return nil
}

// parseNetwork reads a network such as 203.0.113.0/24, or one address. What it says about a
// wrong one is what to write, and does not repeat the text.
func parseNetwork(text string) (netip.Prefix, error) {
	network, err := netip.ParsePrefix(text)
	if err != nil {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("is no network: %w", errNetwork)
		}
		network = netip.PrefixFrom(addr, addr.BitLen())
	}
	if network.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("is an IPv4 network written as IPv6; write it as IPv4: %w", errNetwork)
	}
	if masked := network.Masked(); masked != network {
		return netip.Prefix{}, fmt.Errorf("is an address within a network; write %s for the network, or the address alone: %w", masked, errNetwork)
	}
	return network, nil
}
