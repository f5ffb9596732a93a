package edge

import (
	"net"
	"net/netip"

	"github.com/tidegate/tidegate/internal/reload"
)

// sourcesFile is the file of --allow-sources as it is written:
//
//	sources: ["203.0.113.0/24", "2001:db8::/32", "198.51.100.7"]   # required, at least one
type sourcesFile struct {
	Sources *[]string `yaml:"sources"`
}

// ParseSources reads the file of --allow-sources. Every mistake is reported, with its place
// and what to write instead. A list of nothing is one: it would switch the gateway off.
func ParseSources(data []byte) (Networks, reload.Problems) {
	var file sourcesFile
	doc, problems := reload.Decode(data, &file)
	if len(problems.Errors()) > 0 {
		return Networks{}, problems
	}
	if file.Sources == nil || len(*file.Sources) == 0 {
		problems.Add(doc.At("sources"), `sources has no network, which would refuse everybody; write sources: ["203.0.113.0/24"] with the senders' networks, or start without --allow-sources`)
		return Networks{}, problems
	}
	list := make([]netip.Prefix, 0, len(*file.Sources))
	for i, text := range *file.Sources {
		network, err := parseNetwork(text)
		if err != nil {
			problems.Add(doc.At("sources", i), "sources[%d]: %v", i, err)
			continue
		}
		list = append(list, network)
	}
	if len(problems.Errors()) > 0 {
		return Networks{}, problems
	}
	return networksOf(list), problems
}

// Peer returns the IP address of a connection's other end as Networks take it: without port
// and zone, IPv4 as such. It is the zero address for what is no TCP address.
func Peer(peer net.Addr) netip.Addr {
	addr, ok := peer.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return plain(addr.AddrPort().Addr())
}

func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }
