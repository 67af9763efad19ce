using System.Text;

namespace Loci.Evaluation.Reporting;

/// <summary>What every part of a report needs to write HTML.</summary>
internal static class Html
{
    /// <summary>How many series colours the style has.</summary>
    public const int Colours = 6;

    /// <summary>The style of a report: readable on a phone, in the dark and on paper; no fonts or files from elsewhere.</summary>
    public const string Style = """
        :root{color-scheme:light dark;--paper:#fff;--ink:#1c2024;--soft:#5f6873;--rule:#dfe3e8;--tint:#f5f7f9;
        --c0:#1f6fd1;--c1:#d4570a;--c2:#0b8a6a;--c3:#8546d6;--c4:#c2255c;--c5:#8a6a00}
        @media(prefers-color-scheme:dark){:root{--paper:#14171a;--ink:#e6e9ec;--soft:#9aa4af;--rule:#2e343a;--tint:#1c2024;
        --c0:#6cb0ff;--c1:#ff9a55;--c2:#3fcfa6;--c3:#b993ff;--c4:#ff7fa8;--c5:#e0bb4a}}
        @media print{:root{color-scheme:light}figure,table,.facts{break-inside:avoid}}
        *{box-sizing:border-box}
        body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;-webkit-text-size-adjust:100%}
        main{max-width:800px;margin:0 auto;padding:40px 20px 32px}
        h1{font-size:1.9rem;line-height:1.2;letter-spacing:-.015em;margin:0}
        h2{font-size:1.25rem;line-height:1.3;margin:2.4em 0 .6em;padding-top:1.1em;border-top:1px solid var(--rule)}
        p{margin:.7em 0;overflow-wrap:anywhere}
        .subtitle{color:var(--soft);font-size:1.05rem;margin:.5em 0 1.6em}
        .facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:1.4em 0}
        .facts div{background:var(--tint);border-radius:8px;padding:12px 14px}
        .facts dt{color:var(--soft);font-size:.82rem}
        .facts dd{margin:.1em 0 0;font-size:1.14rem;font-weight:600;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
        figure{margin:1.6em 0}
        figcaption,caption{color:var(--soft);font-size:.88rem;text-align:left}
        figure h3{font-size:1rem;margin:0 0 .4em}
        .legend{display:flex;flex-wrap:wrap;gap:2px 18px;font-size:.88rem;list-style:none;padding:0;margin:0 0 .4em}
        .legend i{display:inline-block;width:18px;border-top:3px solid var(--c);vertical-align:middle;margin-right:7px}
        .legend .d i{border-top-style:dashed}
        svg{display:block;width:100%;height:auto;font:13px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif}
        .narrow{display:none}
        @media(max-width:560px){.wide{display:none}.narrow{display:block}main{padding:24px 16px}h1{font-size:1.55rem}}
        .t{fill:var(--soft);font-variant-numeric:tabular-nums}.n{fill:var(--ink)}
        .g{stroke:var(--rule);fill:none}.a{stroke:var(--soft);fill:none}
        .l,.f{fill:none;stroke:var(--c);stroke-width:1.9;stroke-linejoin:round;stroke-linecap:round}
        .f{opacity:.25;stroke-width:1}.d .l{stroke-dasharray:6 4}
        .b{fill:var(--c)}.w{stroke:var(--ink);fill:none;stroke-width:1.3}
        .m circle{fill:var(--c)}.h circle{fill:var(--c);opacity:0}.h circle:hover{opacity:1}
        .s0{--c:var(--c0)}.s1{--c:var(--c1)}.s2{--c:var(--c2)}.s3{--c:var(--c3)}.s4{--c:var(--c4)}.s5{--c:var(--c5)}
        .q path,.k i{fill:var(--c);shape-rendering:crispEdges}.q .z{fill:var(--tint)}.p{fill:transparent}.p:hover{fill:var(--ink);fill-opacity:.1}
        .legend .k i{width:14px;height:14px;border:0;background:var(--c);vertical-align:-2px}.legend .k .z{background:var(--tint);outline:1px solid var(--rule)}.legend .k .e{background:none;outline:1px solid var(--rule)}
        .heat{overflow:auto;max-height:75vh;border:1px solid var(--rule);border-radius:8px}.heat text{font-size:12px}
        @media print{.heat{max-height:none}}
        .scroll{overflow-x:auto;margin:1.4em 0}
        table{border-collapse:collapse;width:100%;font-size:.94rem;font-variant-numeric:tabular-nums}
        caption{padding-bottom:.4em}
        th,td{padding:7px 14px 7px 0;text-align:left;border-bottom:1px solid var(--rule);vertical-align:top}
        th{font-weight:600;border-bottom-color:var(--soft)}
        th:last-child,td:last-child{padding-right:0}
        .r{text-align:right;white-space:nowrap}th.r{white-space:normal}
        pre{background:var(--tint);border-radius:8px;padding:14px 16px;margin:.4em 0;font:.86rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre-wrap;overflow-wrap:anywhere;tab-size:4}
        footer{color:var(--soft);font-size:.84rem;margin-top:3em;padding-top:1em;border-top:1px solid var(--rule)}

        """;

    /// <summary>
    /// Adds text so that it can only be read as text, in content and in attributes. Characters that HTML cannot hold, which a model's sample may
    /// well contain, become the replacement character.
    /// </summary>
    public static void Escape(StringBuilder html, string text)
    {
        foreach (Rune rune in text.EnumerateRunes())
        {
            switch (rune.Value)
            {
                case '&':
                    html.Append("&amp;");
                    break;
                case '<':
                    html.Append("&lt;");
                    break;
                case '>':
                    html.Append("&gt;");
                    break;
                case '"':
                    html.Append("&quot;");
                    break;
                case '\'':
                    html.Append("&#39;");
                    break;
                case '\r':
                    break;
                case '\n' or '\t':
                    html.Append((char)rune.Value);
                    break;
                case < 0x20 or (>= 0x7F and < 0xA0) or (>= 0x202A and <= 0x202E) or (>= 0x2066 and <= 0x2069):
                    // The last two ranges reorder the text around them.
                    html.Append('\uFFFD');
                    break;
                default:
                    html.Append(rune.ToString());
                    break;
            }
        }
    }
}
