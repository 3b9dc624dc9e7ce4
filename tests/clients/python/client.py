"""One request through the gateway, by the library that is named.

    client.py LIBRARY PROXY URL CA

Prints one line of JSON: the status, and the body or the error. PROXY is `http://`, `https://` (HTTP/2 for pycurl) or
`socks5h://`. Nothing is taken from the environment.
"""

import io
import json
import ssl
import sys


def by_requests(proxy, url, ca):
    import requests

    session = requests.Session()
    session.trust_env = False
    try:
        got = session.get(url, proxies={"http": proxy, "https": proxy}, verify=ca, timeout=20)
    except requests.exceptions.RequestException as error:
        return {"error": str(error)}
    return {"status": got.status_code, "body": got.text, "headers": dict(got.headers)}


def by_httpx(proxy, url, ca):
    import httpx

    context = ssl.create_default_context(cafile=ca)
    proxy = proxy.replace("socks5h://", "socks5://")
    with httpx.Client(proxy=proxy, verify=context, trust_env=False, timeout=20) as client:
        try:
            got = client.get(url)
        except httpx.HTTPError as error:
            return {"error": str(error)}
        return {"status": got.status_code, "body": got.text, "headers": dict(got.headers)}


def by_pycurl(proxy, url, ca):
    """libcurl, which speaks HTTP/2 to a proxy that is asked by TLS."""
    import pycurl

    https2 = 3
    body, told = io.BytesIO(), []
    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.PROXY, proxy)
    curl.setopt(pycurl.NOPROXY, "")
    curl.setopt(pycurl.CAINFO, ca)
    if proxy.startswith("https://"):
        curl.setopt(pycurl.PROXYTYPE, https2)
        curl.setopt(pycurl.PROXY_CAINFO, ca)
    curl.setopt(pycurl.TIMEOUT, 20)
    curl.setopt(pycurl.WRITEDATA, body)
    curl.setopt(pycurl.VERBOSE, True)
    curl.setopt(pycurl.DEBUGFUNCTION, lambda kind, text: told.append(text.decode(errors="replace")) if kind == 0 else None)
    try:
        curl.perform()
    except pycurl.error as error:
        return {"error": str(error), "told": "".join(told)}
    return {
        "status": curl.getinfo(pycurl.RESPONSE_CODE),
        "body": body.getvalue().decode(),
        "told": "".join(told),
    }


def by_websockets(proxy, url, ca):
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    context = ssl.create_default_context(cafile=ca) if url.startswith("wss:") else None
    try:
        with connect(url, proxy=proxy, ssl=context, open_timeout=20) as socket:
            socket.send("hello")
            return {"status": 101, "body": socket.recv(timeout=20)}
    except (WebSocketException, OSError) as error:
        return {"error": str(error)}


def main():
    library, proxy, url, ca = sys.argv[1:]
    ways = {
        "requests": by_requests,
        "httpx": by_httpx,
        "pycurl": by_pycurl,
        "websockets": by_websockets,
    }
    print(json.dumps(ways[library](proxy, url, ca)))


main()
