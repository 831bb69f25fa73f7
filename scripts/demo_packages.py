"""demo_packages.py - which Debian packages make the demo corpus, and how text is taken out of them.

Each row of DOMAINS is (domain, packages, file pattern, reader). A package is written "a|b" where the
name changed between Debian releases; the first that can be had is used. A reader takes the bytes of
one file and gives a list of sections, each a list of paragraphs, free of markup. Nothing here touches
the network or the disk (scripts/demo_corpus does).
"""
import gzip
import html.parser
import re
import struct
import zlib

BLOCK = set("address article blockquote body br caption center dd div dl dt figure form h1 h2 h3 h4 h5 "
            "h6 hr li ol p pre section table tr ul para title sect1 sect2 sect3 chapter row listitem "
            "varlistentry term programlisting screen itemizedlist variablelist note tip".split())
HEADS = {"h1", "h2", "h3", "h4", "title"}
DROP = set("script style head header nav aside footer select button noscript svg form textarea "
           "sect1info sect2info bookinfo articleinfo copyright author legalnotice".split())
VOID = set("area base br col embed hr img input link meta param source track wbr".split())
DROP_CLASS = re.compile(r"nav|^header|^footer|chlink|toc\b|^menu|contents|footnote|"
                        r"relatedtopics|embedded|indexterm|index-cp|howtoget|icon")


class Text(html.parser.HTMLParser):
    """HTML or DocBook to text: \\f before a heading, a blank line between blocks."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.out, self.drop, self.pre, self.stack = [], 0, 0, []

    def handle_starttag(self, tag, attrs):
        if tag in VOID:
            if tag in ("br", "hr") and not self.drop:
                self.out.append("\n" if tag == "br" else "\n\n")
            return
        at = dict(attrs)
        bad = tag in DROP or "hidden" in at or any(
            DROP_CLASS.search(c) for c in (at.get("class") or "").split())
        bad = bad and tag not in ("body", "html") and not (tag == "title" and not self.stack)
        self.stack.append((tag, bad))
        self.drop += bad
        if tag in HEADS and not self.drop:
            self.out.append("\f")
        elif tag in BLOCK and not self.drop:
            self.out.append("\n\n")
        if tag in ("pre", "programlisting", "screen"):
            self.pre += 1
            self.out.append("\x01")

    def handle_startendtag(self, tag, attrs):
        if tag in BLOCK and not self.drop:
            self.out.append("\n\n")

    def handle_endtag(self, tag):
        if tag in VOID or not any(t == tag for t, _ in self.stack):
            return
        while self.stack:
            top, bad = self.stack.pop()
            self.drop -= bad
            if top in ("pre", "programlisting", "screen"):
                self.pre -= 1
                self.out.append("\x02")
            if top == tag:
                break
        if not self.drop:
            if tag in ("td", "th", "entry"):
                self.out.append(" ")
            elif tag in BLOCK:
                self.out.append("\n\n")

    def handle_data(self, data):
        if not self.drop:
            self.out.append(data if self.pre else re.sub(r"\s+", " ", data))

    def sections(self):
        parts = re.split("([\x01\x02])", "".join(self.out))
        text, pre = [], False
        for part in parts:
            if part in ("\x01", "\x02"):
                pre = part == "\x01"
                text.append("\n\n")
            elif pre:
                text.append(re.sub(r"\n\s*\n+", "\n", part.strip("\n")))
            else:
                text.append(re.sub(r"[ \t\xa0]*\n[ \t\xa0]*", "\n", re.sub(r"[ \t\xa0]+", " ", part)))
        return sections_of("".join(text))


BOILERPLATE = re.compile(r"General Public License|Free Documentation License|Corresponding Source|covered work|"
                         r"Other languages: |automatic language selection|Back to Documentation Index|"
                         r"Save syntax highlighting|^\s*LilyPond — .*branch\)|^Categories: |^— Set the color|"
                         r"^Found in file |^This program is free software", re.I)


def sections_of(text):
    """Sections at form feeds, paragraphs at blank lines; licence texts and page furniture dropped."""
    out = []
    for sec in text.split("\f"):
        paras = [p.strip("\n").rstrip() for p in re.split(r"\n\s*\n", sec)]
        paras = [p for p in paras if p.strip(" \n-*_=.|") and not BOILERPLATE.search(p)]
        if paras:
            out.append(paras)
    return out


def decode(data):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def gunzip(data):
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def flow(text):
    """Joins hard-wrapped lines of a paragraph."""
    return re.sub(r"\s+", " ", text).strip()


def read_html(data):
    text = decode(gunzip(data))
    text = re.sub(r"(?s)<!--.*?-->|<!DOCTYPE.*?(\[.*?\])?>|<\?.*?\?>", "", text)
    parser = Text()
    parser.feed(text)
    parser.close()
    return parser.sections()


def read_docbook(data):
    text = decode(gunzip(data)).replace("</entry>", ": </entry>")
    return read_html(re.sub(r"(<row>(?:(?!</row>).)*):(\s*</entry>\s*</row>)", r"\1\2", text,
                            flags=re.S).encode())


def read_osis(prefix):
    """A SWORD zText testament: blocks of zlib-compressed OSIS, a book or chapter each."""
    def read(files):
        index, data = files[prefix + ".bzs"], files[prefix + ".bzz"]
        out = []
        for at in range(0, len(index) - 11, 12):
            start, size, _ = struct.unpack_from("<III", index, at)
            if not size:
                continue
            text = zlib.decompress(data[start:start + size]).decode("utf-8", "replace")
            text = re.sub(r"(?s)<note.*?</note>", "", text)
            text = re.sub(r'<chapter [^>]*osisID="([A-Za-z0-9]+)\.(\d+)"[^>]*>', r"\f", text)
            text = re.sub(r'<div [sS]ID="[^"]*" type="x-p"/>|<lg|<title', "\n\n<", text)
            text = re.sub(r"<[^>]*>", "", text)
            out += [[flow(p) for p in sec] for sec in sections_of(text)]
        return out
    return read


def read_gcide(data):
    text = gunzip(data).decode("utf-8", "replace")
    text = re.sub(r"\[(1913 Webster|PJC|WordNet 1\.5|[A-Z]\w* ?\w*)[^\]\n]*\]", "", text)
    text = text.split("\nA \\", 1)[-1]
    entries = re.split(r"\n(?=[A-Z][\w' -]* \\)", text)
    return [[flow(re.sub(r"[{}\\]", "", e))] for e in entries if 60 < len(e) < 6000]


def read_devil(data):
    text = decode(gunzip(data))
    entries = re.split(r"\n(?=[A-Z][A-Z' -]{2,}(?:, |\.))", text)
    return [[re.sub(r"\n +", "\n", e).strip()] for e in entries[1:] if len(e) > 60]


def read_jargon(data):
    text = decode(gunzip(data)).replace("\x1f", "\f")
    out = []
    for node in re.split(r"\nFile: jargon\.info[^\n]*\n", text)[1:]:
        node = re.sub(r"[{}]", "", node.split("\f")[0]).replace("\n* Menu:", "")
        paras = [flow(p) for p in re.split(r"\n\s*\n", node)]
        paras = [p for p in paras if len(p) > 2 and not p.startswith("* ")]
        if paras:
            out.append(paras)
    return out


def read_info(data):
    text = decode(gunzip(data))
    out = []
    for node in text.split("\x1f")[1:]:
        body = node.split("\n", 2)[-1]
        if "* Menu:" in body:
            body = body.split("* Menu:")[0]
        body = re.sub(r"(?m)^[=*\-.]{3,}$", "", body)
        paras = [p if "  " in p.strip()[1:] else flow(p) for p in re.split(r"\n\s*\n", body)]
        paras = [p.strip("\n") for p in paras if len(p.strip()) > 2]
        if len(" ".join(paras)) > 100 and not BOILERPLATE.search(" ".join(paras)):
            out.append(paras)
    return out


def read_crawl(data):
    entries = re.split(r"(?m)^%%%%\s*$", decode(data))
    out = []
    for entry in entries:
        entry = re.sub(r"(?s)\{\{.*?\}\}", "", entry)
        entry = re.sub(r"(?m)^#.*$|^:.*$|<[/a-z]+>", "", entry).strip()
        if re.match(r"[_@ ]", entry) or len(entry) < 60:
            continue
        out.append([flow(p) for p in re.split(r"\n\s*\n", entry)])
    return out


def read_plain(data):
    text = re.sub(r"(\w)-\n\s+(\w)", r"\1\2", decode(gunzip(data)))
    paras = re.split(r"\n\s*\n", text)
    return [[flow(p) for p in paras if len(flow(p)) > 30]]


def read_vim(data):
    text = re.sub(r"\*[^\s*]+\*", "", decode(data))
    text = re.sub(r"[|`]([^\s|`]+)[|`]", r"\1", text)
    text = re.sub(r"(?m)^[=\-]{10,}\s*$", "\f", text)
    return [[re.sub(r"[ \t]{3,}", "  ", p) for p in s] for s in sections_of(text)]


def read_fortune(charset):
    def read(data):
        text = data.decode(charset, "replace")
        out = []
        for item in re.split(r"(?m)^%\s*$", text):
            item = re.sub(r"[ \t]+", " ", re.sub("[^\n]\x08", "", item)).strip()
            if 40 < len(item) < 3000 and sum(c.isalpha() for c in item) > 0.6 * len(item):
                out.append([item])
        return out
    return read


def read_pod(data):
    text = decode(gunzip(data))
    text = text[text.find("=head1"):] if "=head1" in text else ""
    text = re.sub(r"(?ms)^=begin.*?^=end[^\n]*", "", text)
    for _ in range(3):
        text = re.sub(r"[BCFISX]<<+ (.*?) >>+|[BCFIS]<([^<>]*)>", lambda m: m[1] or m[2] or "", text)
        text = re.sub(r"X<[^<>]*>|Z<>", "", text)
        text = re.sub(r"L<(?:([^|<>]*)\|)?([^<>]*)>", lambda m: m[1] or m[2], text)
    text = re.sub(r"E<lt>", "<", re.sub(r"E<gt>", ">", text))
    text = re.sub(r"(?m)^=head\d +", "\f", text)
    text = re.sub(r"(?m)^=item +", "", text)
    text = re.sub(r"(?m)^=\w+.*$", "", text)
    out = []
    for sec in sections_of(text):
        out.append([p if p.startswith((" ", "\t")) else flow(p) for p in sec])
    return out


ROFF = [(r"\\f(\[[^\]]*\]|\(..|.)", ""), (r"\\s[-+]?\d", ""), (r"\\\(aq|\\\[aq\]", "'"), (r"\\-", "-"),
        (r"\\\(bu|\\\[bu\]", "*"), (r"\\\(em|\\\[em\]", " - "), (r"\\\(en|\\\[en\]", "-"),
        (r"\\\(dq|\\\[dq\]|\\\(lq|\\\(rq|\\\[lq\]|\\\[rq\]", '"'), (r"\\\(oq|\\\(cq", "'"),
        (r"\\\(ha|\\\[ha\]", "^"), (r"\\\(ti|\\\[ti\]", "~"), (r"\\\*\(..|\\\*.", ""),
        (r"\\\[[^\]]*\]|\\\(..", ""), (r"\\[&|^/,:%c]", ""), (r"\\[ ~0]", " "), (r"\\e", r"\\\\"),
        (r"\\'", "'"), (r"\\`", "`")]


def read_roff(data):
    text = decode(gunzip(data))
    if ".so man" in text[:200] or ".Dd" in text[:3000]:
        return []
    text = re.sub(r'(?m)\\".*$', "", text)
    text = re.sub(r"(?ms)^\.(TS|de|ig)\b.*?^\.(TE|\.)", "", text)
    out, fill = [], True
    for line in text.split("\n"):
        if line[:1] in (".", "'"):
            m = re.match(r"[.']\s*(\w*)\s*(.*)", line)
            name, args = (m[1], m[2]) if m else ("", "")
            words = [a.strip('"') for a in re.findall(r'"[^"]*"|\S+', args)]
            if name in ("SH", "SS"):
                out.append("\f" + " ".join(words) + "\n")
            elif name in ("PP", "P", "LP", "TP", "sp", "HP"):
                out.append("\n")
            elif name == "IP":
                out.append("\n" + (words[0] if words else ""))
            elif name in ("nf", "EX"):
                fill = False
                out.append("\n")
            elif name in ("fi", "EE"):
                fill = True
                out.append("\n")
            elif name in ("B", "I", "SM"):
                out.append(" ".join(words))
            elif name in ("BR", "RB", "BI", "IB", "IR", "RI", "SB"):
                out.append("".join(words))
            elif name in ("UR", "MT"):
                out.append(" ".join(words))
        else:
            out.append(line if fill else "\x01" + line)
    text = "\n".join(out)
    for pattern, to in ROFF:
        text = re.sub(pattern, to, text)
    result = []
    for sec in sections_of(text):
        if sec[0].split("\n")[0].strip() in ("COLOPHON", "SEE ALSO", "ПЕРЕВОД", "СМОТРИТЕ ТАКЖЕ", "ЗАМЕЧАНИЯ",
                                             "СМ. ТАКЖЕ", "AUTHORS", "COPYRIGHT", "REPORTING BUGS"):
            continue
        result.append([p.replace("\x01", "") if "\x01" in p else flow(p) for p in sec])
    return result


def read_code(data):
    """C or Python: the licence comment at the top goes, pieces are what stands between blank lines."""
    text = decode(data).replace("\r", "").expandtabs(4)
    text = re.sub(r"\A(\s*/\*.*?\*/|\s*//[^\n]*\n|#[^\n]*\n)+", "", text, flags=re.S)
    text = re.sub(r"(?m)^(?=(?:async )?def |class |@\w|static |struct |enum |typedef struct)", "\f", text)
    out = []
    for sec in text.split("\f"):
        paras = [p.strip("\n").rstrip() for p in re.split(r"\n[ \t]*\n+", sec)]
        paras = [p for p in paras if p.strip()]
        if paras:
            out.append(paras)
    return out


DOMAINS = [
    ("Scripture", ["sword-text-web"], r"/ztext/[^/]+/(ot|nt)\.bz[sz]$", "osis"),
    ("Dictionary", ["dict-gcide"], r"/dictd/gcide\.dict\.dz$", read_gcide),
    ("Satirical Dictionary", ["dict-devil"], r"/dictd/devil\.dict\.dz$", read_devil),
    ("Hacker Lexicon", ["jargon"], r"/info/jargon\.info\.gz$", read_jargon),
    ("Anarchism FAQ", ["anarchism"], r"/anarchism/html/[^/]+\.html$", read_html),
    ("SQL Manual", ["postgresql-doc-15|postgresql-doc-17"], r"/html/(?!release)[^/]+\.html$", read_html),
    ("C Headers", ["linux-libc-dev"], r"/usr/include/(linux|drm|rdma|scsi|sound|misc|mtd|video)/.+\.h$", read_code),
    ("Python Source", ["libpython3.11-stdlib|libpython3.13-stdlib"], r"\.py$", read_code),
    ("Manual Pages", ["manpages", "manpages-dev"], r"/usr/share/man/man\d/[^/]+\.gz$", read_roff),
    ("Manual Pages (ru)", ["manpages-ru", "manpages-ru-dev"], r"/usr/share/man/ru/man\d/[^/]+\.gz$", read_roff),
    ("Mathematics Manual", ["maxima-doc", "gap-doc", "octave-doc"],
     r"/maxima-doc/html/maxima_\d+\.html$|/doc/(ref|tut)/chap\d+\.html$|/octave\.html/(?!XREF|index)[A-Z][^/]*\.html$",
     read_html),
    ("Music Typesetting", ["lilypond-doc-html"],
     r"/Documentation/(notation|learning|usage|extending|music-glossary|essay)/(?!.*index)[^/.]+\.html$", read_html),
    ("Fantasy Games", ["crawl-common", "angband-data", "nethack-common"],
     r"/crawl/dat/(descript|database)/(?!.*(name|rand|shout|speak|montitle|monspell|commands|wpnnoise|"
     r"insult|unident|monflee|status))[^/]+\.txt$|/angband/help/[^/]+\.txt$|Guidebook\.txt\.gz$|/crawl/docs/crawl_manual\.txt$",
     "games"),
    ("Card and Board Games", ["aisleriot", "kpat", "gnugo", "xboard"],
     r"/help/C/aisleriot/[^/]+\.xml$|/HTML/en/kpat/index\.docbook$|/info/(gnugo|xboard)\.info(-\d)?\.gz$",
     "cards"),
    ("Office Help", ["libreoffice-help-en-us"], r"/help/en-US/text/s(?!basic)[^/]+/.+\.html$", read_html),
    ("Office Help (ru)", ["libreoffice-help-ru"], r"/help/ru/text/s(?!basic)[^/]+/.+\.html$", read_html),
    ("Fortunes", ["fortunes"], r"/games/fortunes/(?!.*(art|perl|zippy))[^/.]+$", read_fortune("utf-8")),
    ("Fortunes (ru)", ["fortunes-ru"], r"/games/fortunes/ru/(?!.*\.dat$)[^/]+$", read_fortune("utf-8")),
    ("Perl Manual", ["perl-doc"], r"/pod/(?!perl\d|perl5|perlhist|perltoc|perldelta)[^/]+\.pod$", read_pod),
    ("Vim Help", ["vim-runtime"], r"/doc/(?!tags|version|os_)[^/]+\.txt$", read_vim),
    ("Debian Administration", ["debian-reference-en", "debian-faq"],
     r"/(ch|pr)\d+\.en\.html$|/debian/FAQ/[^/]+\.en\.html$", read_html),
]


def extract(reader, files):
    """files: name -> bytes, all of one domain. Gives a list of files' section lists, in name order."""
    if reader == "osis":
        stems = sorted({name[:-4] for name in files})
        return [read_osis(stem)(files) for stem in stems]
    out = []
    for name in sorted(files):
        use = reader
        if reader == "games":
            use = read_crawl if "/crawl/dat/" in name else read_plain
        elif reader == "cards":
            use = read_info if "/info/" in name else read_docbook
        try:
            out.append(use(files[name]))
        except (ValueError, OSError, zlib.error) as err:
            raise ValueError(f"'{name}' cannot be read: {err}") from err
    return out
