package receive

import (
	"bytes"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// A second opinion, written from RFC 9112 and not from the code that it judges: it reads a stream
// of requests as narrowly as it can, and says which may be answered 200.

// strictRequest is one request that is unambiguous.
type strictRequest struct {
	mayBeTaken bool // as a callback of one of the test's apps
	app        int64
	command    string
	body       []byte
}

var (
	strictLine   = regexp.MustCompile("^([!#$%&'*+.^_`|~0-9A-Za-z-]+) " + `(/[^\x00-\x20\x7f#]*|(?i:https?)://[^\x00-\x20\x7f/?#]+(?:[/?][^\x00-\x20\x7f#]*)?) HTTP/1\.([01])$`)
	strictHeader = regexp.MustCompile("^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \\t]*([^\\x00-\\x08\\x0a-\\x1f\\x7f]*?)[ \\t]*$")
	strictHost   = regexp.MustCompile(`^(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(:[0-9]*)?$`)
	strictLength = regexp.MustCompile(`^[0-9]{1,18}$`)
	strictChunk  = regexp.MustCompile(`^([0-9A-Fa-f]{1,15})(?:[ \t]*|;[^\r\n]*)$`)
)

// readStrictly returns the requests of input up to the first that is not clear. Nothing comes after
// one that is.
func readStrictly(input []byte) (list []strictRequest) {
	for {
		r, rest, last, ok := readOneStrictly(input)
		if !ok {
			return list
		}
		list = append(list, r)
		if last {
			return list
		}
		input = rest
	}
}

// cutLine cuts off a line that ends with CR LF and has neither elsewhere.
func cutLine(input []byte) (line string, rest []byte, ok bool) {
	end := bytes.IndexByte(input, '\n')
	if end < 1 || input[end-1] != '\r' || bytes.IndexByte(input[:end-1], '\r') >= 0 {
		return "", nil, false
	}
	return string(input[:end-1]), input[end+1:], true
}

func readOneStrictly(input []byte) (r strictRequest, rest []byte, last, ok bool) {
	line, rest, ok := cutLine(input)
	if !ok {
		return r, nil, false, false
	}
	first := strictLine.FindStringSubmatch(line)
	if first == nil {
		return r, nil, false, false
	}
	headers := map[string][]string{}
	for {
		if line, rest, ok = cutLine(rest); !ok {
			return r, nil, false, false
		}
		if line == "" {
			break
		}
		header := strictHeader.FindStringSubmatch(line)
		if header == nil {
			return r, nil, false, false
		}
		name := strings.ToLower(header[1])
		headers[name] = append(headers[name], header[2])
	}
	body, rest, chunked, ok := readBodyStrictly(rest, headers, first[3] == "1")
	if !ok {
		return r, nil, false, false
	}
	r.body = body
	if first[1] == "POST" && len(body) > 0 {
		r.app, r.command, r.mayBeTaken = readTargetStrictly(first[2])
	}
	return r, rest, chunked, true
}

// readBodyStrictly looks at the headers that say where a request ends, and at that end.
func readBodyStrictly(rest []byte, headers map[string][]string, http11 bool) (body, after []byte, chunked, ok bool) {
	host, length, coding := headers["host"], headers["content-length"], headers["transfer-encoding"]
	switch {
	case len(host) > 1, http11 && len(host) == 0, len(host) == 1 && !strictHost.MatchString(host[0]),
		len(length) > 1, len(coding) > 1, len(length)+len(coding) > 1, len(coding) == 1 && !http11,
		len(headers["trailer"]) > 0:
		return nil, nil, false, false
	}
	for _, expect := range headers["expect"] {
		if !strings.EqualFold(expect, "100-continue") {
			return nil, nil, false, false
		}
	}
	switch {
	case len(coding) == 1:
		if !strings.EqualFold(coding[0], "chunked") {
			return nil, nil, false, false
		}
		body, ok = readChunksStrictly(rest)
		return body, nil, true, ok
	case len(length) == 1:
		if !strictLength.MatchString(length[0]) {
			return nil, nil, false, false
		}
		n, _ := strconv.Atoi(length[0])
		if n > len(rest) {
			return nil, nil, false, false
		}
		return rest[:n], rest[n:], false, true
	}
	return nil, rest, false, true
}

// readChunksStrictly reads chunks up to the last. What comes after that is not looked at: the
// connection ends there.
func readChunksStrictly(rest []byte) (body []byte, ok bool) {
	for {
		line, after, ok := cutLine(rest)
		if !ok {
			return nil, false
		}
		chunk := strictChunk.FindStringSubmatch(line)
		if chunk == nil {
			return nil, false
		}
		n, err := strconv.ParseInt(chunk[1], 16, 64)
		if err != nil || n > int64(len(after))-2 && n > 0 {
			return nil, false
		}
		if n == 0 {
			return body, len(after) > 0
		}
		if string(after[n:n+2]) != "\r\n" {
			return nil, false
		}
		body, rest = append(body, after[:n]...), after[n+2:]
	}
}

// readTargetStrictly says whose callback a target is, as net/url reads it.
func readTargetStrictly(target string) (app int64, command string, ok bool) {
	u, err := url.ParseRequestURI(target)
	if err != nil || u.Host != "" && !strictHost.MatchString(u.Host) || u.User != nil {
		return 0, "", false
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil || len(values["SdkAppid"]) != 1 || len(values["CallbackCommand"]) != 1 {
		return 0, "", false
	}
	app, err = strconv.ParseInt(values.Get("SdkAppid"), 10, 64)
	if err != nil {
		return 0, "", false
	}
	command = values.Get("CallbackCommand")
	switch app {
	case unsignedApp:
		return app, command, command != ""
	case signedApp:
		return app, command, command != "" && strings.EqualFold(values.Get("Sign"), sign(vectorToken, values.Get("RequestTime")))
	case rotatingApp:
		return app, command, command != "" && (strings.EqualFold(values.Get("Sign"), sign("new-token", values.Get("RequestTime"))) ||
			strings.EqualFold(values.Get("Sign"), sign("old-token", values.Get("RequestTime"))))
	}
	return 0, "", false
}
