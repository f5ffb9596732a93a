package edge

import "errors"

// errNetwork is a text that is no network. The operator writes it anew.
var errNetwork = errors.New("want a network such as 203.0.113.0/24 or 2001:db8::/32, or one address")

// errNotOpen is a write to a TLS connection whose handshake is not done: nothing could be
// understood. The caller closes the connection.
var errNotOpen = errors.New("TLS handshake is not done")

// errLongOpening is a PROXY header and a handshake that are longer than any. The caller closes the
// connection.
var errLongOpening = errors.New("PROXY header and TLS handshake are too long")
