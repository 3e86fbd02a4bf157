package issuer

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

const maxBody = 64 << 10

func (i *Issuer) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{pool}/.well-known/jwks.json", i.jwks)
	mux.HandleFunc("GET /{pool}/.well-known/openid-configuration", i.discovery)
	mux.HandleFunc("POST /oauth2/token", i.clientToken)
	mux.HandleFunc("POST /token", i.userToken)
	mux.HandleFunc("/token", i.wrongMethod)
	return mux
}

// ServeHTTP answers the well-known documents, the token endpoint and the local minting endpoint.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// A web page that got its own name to resolve to this machine would come with that name.
	if !loopback(r.Host) {
		writeJSON(w, http.StatusMisdirectedRequest, oauthError{"invalid_request", "the issuer answers on this machine's loopback address only"})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	i.mux.ServeHTTP(w, r)
}

func loopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// oauthError is an error response of RFC 6749, section 5.2.
type oauthError struct {
	Code        string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int64  `json:"expires_in"` // seconds
	TokenType   string `json:"token_type"`
}

// clientToken is the token endpoint, for machines.
// https://docs.aws.amazon.com/cognito/latest/developerguide/token-endpoint.html
func (i *Issuer) clientToken(w http.ResponseWriter, r *http.Request) {
	refuse := func(code, description string) {
		writeJSON(w, http.StatusBadRequest, oauthError{code, description})
	}
	if err := r.ParseForm(); err != nil {
		refuse("invalid_request", "the form could not be read")
		return
	}
	if r.PostForm.Get("grant_type") != "client_credentials" {
		refuse("unsupported_grant_type", "only client_credentials is served locally")
		return
	}
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	p, c := i.client(id)
	if c == nil || !c.GenerateSecret || subtle.ConstantTimeCompare([]byte(secret), []byte(p.key.secret(id))) != 1 {
		refuse("invalid_client", "")
		return
	}
	if !slices.Contains(c.Flows, "client_credentials") {
		refuse("unauthorized_client", "the client is not allowed client_credentials")
		return
	}
	// Of a client's scopes, a machine gets the custom ones: all, or those it asks for.
	allowed := slices.DeleteFunc(slices.Clone(c.Scopes), func(s string) bool { return !slices.Contains(p.customScopes(), s) })
	scopes := strings.Fields(r.PostForm.Get("scope"))
	if len(scopes) == 0 {
		scopes = allowed
	}
	for _, s := range scopes {
		if !slices.Contains(allowed, s) {
			refuse("invalid_scope", "")
			return
		}
	}
	token, expires, err := i.issue(r.Context(), grant{
		pool: p, client: c, source: clientCredentials, username: id, attributes: map[string]string{}, scopes: scopes,
		claims: map[string]any{"sub": id},
	})
	if err != nil {
		i.cfg.Logger.Error("token could not be issued", "client", c.Name, "error", err)
		refuse("invalid_request", err.Error())
		return
	}
	writeJSON(w, http.StatusOK, tokenAnswer{token, expires.Unix() - i.cfg.Now().Unix(), "Bearer"})
}

// userToken mints for people at a terminal: {"sub": …} is enough. It has no counterpart on AWS.
func (i *Issuer) userToken(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Pool      string   `json:"pool"`
		Client    string   `json:"client"`
		Sub       string   `json:"sub"`
		Username  string   `json:"username"`
		Groups    []string `json:"groups"`
		Scopes    []string `json:"scopes"`    // none: all custom scopes of the client
		Workspace string   `json:"workspace"` // goes to the trigger as client metadata
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil && !errors.Is(err, io.EOF) {
		writeJSON(w, http.StatusBadRequest, oauthError{"invalid_request", err.Error()})
		return
	}
	req := MintRequest{Pool: in.Pool, ClientID: in.Client, Sub: in.Sub, Username: in.Username, Groups: in.Groups, Scopes: in.Scopes}
	if in.Workspace != "" {
		req.ClientMetadata = map[string]string{"workspace": in.Workspace}
	}
	if p, c, err := i.find(in.Pool, in.Client); err == nil && len(in.Scopes) == 0 {
		req.Scopes = c.Scopes
		if len(req.Scopes) == 0 {
			req.Scopes = p.customScopes()
		}
	}
	token, expires, err := i.Mint(r.Context(), req)
	if err != nil {
		writeJSON(w, http.StatusBadRequest, oauthError{"invalid_request", err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, tokenAnswer{token, expires.Unix() - i.cfg.Now().Unix(), "Bearer"})
}

// wrongMethod tells whoever opens the address of userToken in a browser how to use it.
func (i *Issuer) wrongMethod(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", http.MethodPost)
	hint := "POST it: curl -d '{\"sub\": \"alpha-user\"}' http://" + r.Host + "/token"
	writeJSON(w, http.StatusMethodNotAllowed, oauthError{"invalid_request", hint})
}

func (i *Issuer) jwks(w http.ResponseWriter, r *http.Request) {
	p := i.pool(r.PathValue("pool"))
	if p == nil {
		http.NotFound(w, r)
		return
	}
	writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{
		Key: &p.key.private.PublicKey, KeyID: p.key.id, Algorithm: string(jose.RS256), Use: "sig",
	}}})
}

func (i *Issuer) discovery(w http.ResponseWriter, r *http.Request) {
	p := i.pool(r.PathValue("pool"))
	if p == nil {
		http.NotFound(w, r)
		return
	}
	base := "http://" + r.Host
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                p.issuer,
		"jwks_uri":                              base + "/" + p.ID + "/.well-known/jwks.json",
		"token_endpoint":                        base + "/oauth2/token",
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
		"id_token_signing_alg_values_supported": []string{string(jose.RS256)},
		"response_types_supported":              []string{"token"},
		"grant_types_supported":                 []string{"client_credentials"},
		"subject_types_supported":               []string{"public"},
		"scopes_supported":                      orEmpty(p.customScopes()),
	})
}

func (i *Issuer) pool(id string) *pool {
	for _, p := range i.pools {
		if p.ID == id {
			return p
		}
	}
	return nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that has gone needs no answer
}
