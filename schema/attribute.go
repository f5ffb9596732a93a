package schema

// Attribute is one optional fact of a callback. Each has one header and, where it comes
// from the vendor's URL, one query parameter: a new one is one line in the table of
// attributes.
type Attribute uint8

// The attributes, in the order in which their headers are written.
const (
	AttributeClientIP    Attribute = iota // ce_clientip: of the end user, not of the caller
	AttributeOptPlatform                  // ce_optplatform: as sent, an open set
	AttributeContentType                  // ce_contenttype: the query parameter contenttype, not the HTTP header
	AttributeRequestTime                  // ce_requesttime: Unix seconds as sent
	AttributeQuery                        // tg-query: every other query parameter, URL-encoded, never Sign
	AttributeTraceparent                  // traceparent: the caller's trace context (W3C)
	AttributeAdmitted                     // ce_admitted: when the callback was let out of quarantine, RFC 3339
	NumAttributes
)

// attributes is the table of attributes: all that the package knows of each.
// Parameters are spelled as the vendor spells them (trtc.io/document/34354).
var attributes = [NumAttributes]struct{ header, parameter string }{
	AttributeClientIP:    {header: "ce_clientip", parameter: "ClientIP"},
	AttributeOptPlatform: {header: "ce_optplatform", parameter: "OptPlatform"},
	AttributeContentType: {header: "ce_contenttype", parameter: "contenttype"},
	AttributeRequestTime: {header: "ce_requesttime", parameter: "RequestTime"},
	AttributeQuery:       {header: "tg-query"},
	AttributeTraceparent: {header: "traceparent"},
	AttributeAdmitted:    {header: "ce_admitted"},
}

// Attributes holds the optional facts of one callback, nil where absent; an empty value
// says no more than an absent one and is written as such. The values are views and
// share the callback's owner.
type Attributes [NumAttributes][]byte

// Header returns the name of the record header that carries a. It panics where a is
// not below NumAttributes.
func (a Attribute) Header() string { return attributes[a].header }

// Parameter returns the name of the vendor's query parameter that a is taken from, ""
// where it comes from elsewhere. It panics where a is not below NumAttributes.
func (a Attribute) Parameter() string { return attributes[a].parameter }

// String returns the name of a's header, for logs.
func (a Attribute) String() string {
	if a >= NumAttributes {
		return "unknown attribute"
	}
	return attributes[a].header
}

// AttributeOfParameter returns the attribute that the query parameter name carries, and
// whether there is one. Names are compared with case, as the vendor spells them. It
// does not allocate.
func AttributeOfParameter(name []byte) (Attribute, bool) {
	for a := range NumAttributes {
		if p := attributes[a].parameter; p != "" && p == string(name) {
			return a, true
		}
	}
	return 0, false
}
