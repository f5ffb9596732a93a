package schema

// Authenticated says how a callback proved where it came from: ce_authenticated. The
// zero value is AuthenticatedNone.
type Authenticated uint8

// The ways in which a callback is authenticated.
const (
	AuthenticatedNone Authenticated = iota // "none": the app has no token
	AuthenticatedSign                      // "sign": Sign matched one of the app's tokens

	numAuthenticated
)

// authenticatedTexts is the text form of each way. The slices are handed out as header
// values and are never written to.
var authenticatedTexts = [numAuthenticated][]byte{
	AuthenticatedNone: []byte("none"),
	AuthenticatedSign: []byte("sign"),
}

// Authentications returns the text form of every way, for schemas and flags.
func Authentications() []string {
	texts := make([]string, 0, numAuthenticated)
	for _, text := range authenticatedTexts {
		texts = append(texts, string(text))
	}
	return texts
}

// String returns the text form, "none" or "sign".
func (a Authenticated) String() string { return string(a.text()) }

// text returns the text form without allocating. A value outside the set claims
// nothing: it reads as "none".
func (a Authenticated) text() []byte {
	if a >= numAuthenticated {
		return authenticatedTexts[AuthenticatedNone]
	}
	return authenticatedTexts[a]
}

// ParseAuthenticated reads the text form back and says whether it is one. It does not
// allocate.
func ParseAuthenticated(text []byte) (Authenticated, bool) {
	for a := range numAuthenticated {
		if string(authenticatedTexts[a]) == string(text) {
			return a, true
		}
	}
	return AuthenticatedNone, false
}
