"""How mail clients announce a quoted mail, by language. Data only: a new language is a new row.

Not here: deciding what is cut (quotes.py).
"""
# ruff: noqa: RUF001 - the words of many languages look alike

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QuoteLanguage:
    """One language's words.

    ``attribution``: regular expressions for the whole line that stands above a quote ("On ... wrote:"), without its
    colon. One that begins with ``.*`` has no word of its own to begin with: it counts on a single line only, or after
    a date.
    The header labels are those of Outlook's block. ``original`` and ``forwarded`` stand between dashes.
    ``sent_from``: how the advertising line of a phone begins.
    """

    code: str
    attribution: tuple[str, ...] = ()
    from_labels: tuple[str, ...] = ()
    sent_labels: tuple[str, ...] = ()
    to_labels: tuple[str, ...] = ()
    subject_labels: tuple[str, ...] = ()
    original: tuple[str, ...] = ()
    forwarded: tuple[str, ...] = ()
    sent_from: tuple[str, ...] = ()


LANGUAGES: tuple[QuoteLanguage, ...] = (
    QuoteLanguage(
        "en",
        (r"On\b.*\bwrote", r".*\bwrote"),
        ("from",),
        ("sent", "date"),
        ("to", "cc"),
        ("subject",),
        ("original message", "original appointment", "reply message"),
        ("forwarded message", "begin forwarded message"),
        (
            "sent from my ",
            "sent from mail for windows",
            "sent from outlook for ",
            "get outlook for ",
            "sent from yahoo mail",
            "sent with proton",
        ),
    ),
    QuoteLanguage(
        "de",
        (r"(?:Am|Von)\b.*\bschrieb\b.*", r".*\bschrieb\b.*"),
        ("von",),
        ("gesendet", "datum"),
        ("an", "cc"),
        ("betreff",),
        ("ursprüngliche nachricht", "originalnachricht", "original-nachricht"),
        ("weitergeleitete nachricht", "anfang der weitergeleiteten nachricht"),
        ("von meinem ", "gesendet von ", "gesendet mit ", "holen sie sich outlook", "diese nachricht wurde von meinem "),
    ),
    QuoteLanguage(
        "fr",
        (r"Le\b.*\ba écrit\s?",),
        ("de", "expéditeur"),
        ("envoyé", "date", "envoyé le"),
        ("à", "destinataire", "cc"),
        ("objet", "sujet"),
        ("message d'origine", "message d’origine", "message original"),
        ("message transféré", "début du message transféré", "message transmis"),
        ("envoyé de mon ", "envoyé depuis ", "télécharger outlook pour "),
    ),
    QuoteLanguage(
        "es",
        (r"El\b.*\bescribió",),
        ("de",),
        ("enviado", "enviado el", "fecha"),
        ("para",),
        ("asunto",),
        ("mensaje original",),
        ("mensaje reenviado", "forwarded message", "inicio del mensaje reenviado"),
        ("enviado desde mi ", "enviado desde ", "obtener outlook para "),
    ),
    QuoteLanguage(
        "pt",
        (r"(?:Em|A|No dia)\b.*\bescreveu",),
        ("de",),
        ("enviado", "enviada em", "enviado em", "data"),
        ("para",),
        ("assunto",),
        ("mensagem original",),
        ("mensagem encaminhada", "início da mensagem reencaminhada"),
        ("enviado do meu ", "enviado a partir do ", "obter o outlook para "),
    ),
    QuoteLanguage(
        "it",
        (r"(?:Il|In data)\b.*\bha scritto",),
        ("da",),
        ("inviato", "data"),
        ("a",),
        ("oggetto",),
        ("messaggio originale",),
        ("messaggio inoltrato", "inizio messaggio inoltrato"),
        ("inviato da ", "inviato dal mio ", "ottieni outlook per "),
    ),
    QuoteLanguage(
        "nl",
        (r"Op\b.*\b(?:schreef|het volgende geschreven)\b.*",),
        ("van",),
        ("verzonden", "datum"),
        ("aan",),
        ("onderwerp",),
        ("oorspronkelijk bericht", "origineel bericht"),
        ("doorgestuurd bericht", "begin doorgestuurd bericht"),
        ("verstuurd vanaf mijn ", "verzonden vanaf mijn ", "verstuurd vanuit "),
    ),
    QuoteLanguage(
        "sv",
        (r"(?:Den|På)\b.*\bskrev\b.*",),
        ("från",),
        ("skickat", "datum"),
        ("till",),
        ("ämne",),
        ("ursprungligt meddelande",),
        ("vidarebefordrat meddelande",),
        ("skickat från min ", "skickat från "),
    ),
    QuoteLanguage(
        "da-no",
        (r"(?:Den|På)\b.*\bskrev\b.*", r".*\bkl\.?\b.*\bskrev\b.*"),
        ("fra",),
        ("sendt", "dato"),
        ("til",),
        ("emne",),
        ("oprindelig meddelelse", "opprinnelig melding", "original meddelelse"),
        ("videresendt meddelelse", "videresendt melding"),
        ("sendt fra min ", "sendt fra "),
    ),
    QuoteLanguage(
        "fi",
        (r".*\bkirjoitti\b.*",),
        ("lähettäjä",),
        ("lähetetty", "päivämäärä"),
        ("vastaanottaja",),
        ("aihe",),
        ("alkuperäinen viesti",),
        ("välitetty viesti", "edelleenlähetetty viesti"),
        ("lähetetty ",),
    ),
    QuoteLanguage(
        "pl",
        (r"(?:W dniu|Dnia)\b.*\b(?:pisze|napisał|napisała|napisał\(a\))\s?", r".*\bo\b.*\b(?:pisze|napisał|napisała|napisał\(a\))\s?"),
        ("od",),
        ("wysłano", "data"),
        ("do",),
        ("temat",),
        ("oryginalna wiadomość", "wiadomość oryginalna"),
        ("przekazana wiadomość", "wiadomość przekazana"),
        ("wysłano z mojego ", "wysłane z "),
    ),
    QuoteLanguage(
        "cs-sk",
        (r"(?:Dne|Dňa)\b.*\b(?:napsal|napísal).*", r".*\bv\b.*\b(?:napsal|napísal).*"),
        ("od",),
        ("odesláno", "odoslané", "datum", "dátum"),
        ("komu", "pro"),
        ("předmět", "predmet"),
        ("původní zpráva", "pôvodná správa"),
        ("přeposlaná zpráva", "preposlaná správa"),
        ("odesláno z ", "odoslané z "),
    ),
    QuoteLanguage(
        "ru-uk",
        (r".*\b(?:пишет|написал|написала|написал\(а\)|писал\(а\)|пише|написав|написала\(в\))\s?.*",),
        ("от", "від", "от кого"),
        ("отправлено", "дата", "надіслано"),
        ("кому",),
        ("тема",),
        ("исходное сообщение", "пересылаемое сообщение", "оригінальне повідомлення"),
        ("пересланное сообщение", "перенаправленное сообщение", "переслане повідомлення"),
        ("отправлено с ", "отправлено из ", "надіслано з "),
    ),
    QuoteLanguage(
        "tr",
        (r".*\b(?:yazdı|şunu yazdı|tarihinde)\b.*",),
        ("kimden", "gönderen"),
        ("gönderildi", "gönderme tarihi", "tarih"),
        ("kime",),
        ("konu",),
        ("orijinal mesaj", "özgün ileti"),
        ("yönlendirilmiş ileti", "iletilmiş mesaj"),
        ("iphone'umdan gönderildi", "iphone’umdan gönderildi"),
    ),
    QuoteLanguage(
        "hu",
        (r".*\b(?:ezt írta|írta)\b.*",),
        ("feladó",),
        ("elküldve", "küldve", "dátum"),
        ("címzett",),
        ("tárgy",),
        ("eredeti üzenet",),
        ("továbbított üzenet", "továbbított levél"),
        ("küldve az ",),
    ),
    QuoteLanguage(
        "ro",
        (r".*\ba scris",),
        ("de la",),
        ("trimis", "data"),
        ("către",),
        ("subiect",),
        ("mesaj original",),
        ("mesaj redirecționat",),
        ("trimis de pe ",),
    ),
    QuoteLanguage(
        "el",
        (r".*\bέγραψε\b.*",),
        ("από",),
        ("στάλθηκε", "ημερομηνία"),
        ("προς",),
        ("θέμα",),
        ("αρχικό μήνυμα",),
        ("προωθημένο μήνυμα",),
        ("στάλθηκε από ",),
    ),
    QuoteLanguage(
        "ja",
        (r"\d{4}年\d{1,2}月\d{1,2}日.*", r".*(?:さん)?(?:は|が)?書きました", r".*のメール", r".*wrote"),
        ("差出人", "送信者"),
        ("送信日時", "日時", "日付"),
        ("宛先",),
        ("件名",),
        ("元のメッセージ", "オリジナルメッセージ"),
        ("転送メッセージ", "転送されたメッセージ", "forwarded message"),
        ("iphoneから送信", "ipadから送信", "androidから送信", "私のiphoneから"),
    ),
    QuoteLanguage(
        "zh",
        (r".*(?:写道|寫道|撰寫|撰写)\s?",),
        ("发件人", "寄件者", "寄件人", "發件人"),
        ("发送时间", "日期", "寄件日期", "傳送時間", "时间", "發送時間"),
        ("收件人", "收件者"),
        ("主题", "主旨", "主題"),
        ("原始邮件", "原始郵件", "原邮件", "原始信件"),
        ("转发的邮件", "轉寄郵件", "转发邮件信息", "已轉寄的郵件"),
        ("发自我的", "從我的", "从我的", "發自我的", "發送自我的"),
    ),
    QuoteLanguage(
        "ko",
        (r".*(?:님이 작성|작성|님이 쓴 글)\s?",),
        ("보낸 사람", "보낸사람"),
        ("보낸 날짜", "날짜", "보낸시간"),
        ("받는 사람", "받는사람"),
        ("제목",),
        ("원본 메시지", "원본메일"),
        ("전달된 메시지",),
        ("나의 iphone에서 보냄", "내 iphone에서 보냄", "iphone에서 보냄"),
    ),
)
FORWARD_SUBJECTS = ("fw", "fwd", "wg", "tr", "rv", "enc", "doorst", "转发", "轉寄", "転送", "전달")
