// The browser's part of `textfield.py`: sends what is typed after a pause, and marks the lines that have problems.
//
// SECURITY: what comes from the server is other people's text. It goes into `value`, `textContent` and `title` only.

const PAUSE = 400 // milliseconds after the last key
const PATIENCE = 5000 // milliseconds to wait for an answer

const fields = new WeakMap()
let last // the field that was made last
let wake

export default function (component) {
  if (component.data.wakes) {
    wake = () => component.setStateValue("woken", Date.now())
    return
  }
  const root = component.parentElement
  let field = fields.get(root)
  if (!field?.area.isConnected) {
    field = new Field(root)
    // Streamlit may put a new field in the place of one that somebody types into, as when the server was restarted.
    if (last && !last.area.isConnected) field.goOn(last)
    last = field
    fields.set(root, field)
  }
  field.hear(component.data, component.setStateValue)
  return () => field.leave()
}

class Field {
  constructor(root) {
    this.label = root.querySelector("label")
    this.frame = root.querySelector(".frame")
    this.lines = root.querySelector(".lines")
    this.area = root.querySelector("textarea")
    this.verdict = root.querySelector("#verdict")
    this.problems = root.querySelector("#problems")

    this.count = 0 // of the messages that were sent
    this.waiting = false // for an answer
    this.touched = false // since the text was taken
    this.focused = false
    this.marks = new Map() // problems by their lines
    this.shown = "" // the problems in the list

    this.area.addEventListener("input", () => this.type())
    this.area.addEventListener("focus", () => (this.focused = true))
    this.area.addEventListener("blur", () => {
      setTimeout(() => (this.focused &&= !this.area.isConnected)) // still, where the field itself was taken away
      this.send()
    })
    this.area.addEventListener("scroll", () => this.number())
    this.area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault()
        this.send()
      }
    })
    this.resized = new ResizeObserver(() => this.number())
    this.resized.observe(this.area)
  }

  goOn(before) {
    for (const name of ["count", "waiting", "touched", "agreed", "mine", "file", "base", "offered"]) {
      this[name] = before[name]
    }
    const { value, selectionStart, selectionEnd, scrollTop, scrollLeft } = before.area
    this.area.value = value
    this.area.setSelectionRange(selectionStart, selectionEnd)
    this.area.scrollTop = scrollTop
    this.area.scrollLeft = scrollLeft
    if (before.focused) this.area.focus({ preventScroll: true })
    clearTimeout(before.timer)
    clearTimeout(before.patience)
    if (before.timer !== undefined) this.type()
    if (this.waiting) this.watch()
  }

  // --- to the server

  type() {
    this.touched = true
    this.total = undefined
    this.number()
    clearTimeout(this.timer)
    this.timer = setTimeout(() => {
      this.timer = undefined
      if (!this.waiting) this.send() // else the newest goes when the answer has come
    }, PAUSE)
  }

  send() {
    clearTimeout(this.timer)
    this.timer = undefined
    const text = this.area.value
    if (text === this.agreed) return
    this.agreed = text
    this.count += 1
    this.waiting = true
    this.watch()
    this.setStateValue("typed", {
      count: this.count,
      file: this.file,
      number: this.mine,
      base: this.base,
      text,
    })
  }

  watch(patience = PATIENCE) {
    clearTimeout(this.patience)
    this.patience = setTimeout(() => {
      if (this.timer === undefined) this.send()
      wake?.() // the server may have been restarted: it answers once it has drawn the whole page
      this.watch(2 * patience) // longer each time, so that a slow page is drawn to its end
    }, patience)
  }

  // --- from the server

  hear(data, setStateValue) {
    this.setStateValue = setStateValue
    if (data.heard >= this.count) {
      this.count = data.heard
      this.waiting = false
      clearTimeout(this.patience)
    }
    if (data.number !== this.mine) {
      // Another text. What was typed into this one goes to the server first, which says what becomes of it.
      if (this.touched && this.offered !== data.number) {
        this.offered = data.number
        this.agreed = undefined
        this.send()
        return
      }
      if (this.offered === data.number && this.waiting) return
      this.take(data)
    }
    this.base = data.base // of this very text: it moves on when the text is saved
    this.mark(data)
    if (!this.waiting && this.timer === undefined) this.send()
  }

  take({ text, number, file, base }) {
    const said = this.touched // what the server has heard last is of another text
    if (this.area.value !== text) {
      const { selectionStart, selectionEnd, scrollTop, scrollLeft } = this.area
      this.area.value = text
      const same = this.file === file
      this.area.setSelectionRange(same ? selectionStart : 0, same ? selectionEnd : 0)
      this.area.scrollTop = same ? scrollTop : 0
      this.area.scrollLeft = same ? scrollLeft : 0
    }
    this.agreed = this.area.value
    this.mine = number
    this.file = file
    this.touched = false
    this.base = base
    this.offered = undefined
    this.total = undefined
    if (said) {
      this.agreed = undefined // so that nothing goes on from the other text after a restart
      this.send()
    }
  }

  mark({ label, verdict, marks }) {
    say(this.label, label)
    say(this.verdict, verdict)
    const wrong = marks.some((each) => each.error)
    this.verdict.className = wrong ? "error" : ""
    this.area.setAttribute("aria-invalid", String(wrong))
    const shown = JSON.stringify(marks)
    if (shown !== this.shown) {
      this.shown = shown
      this.marks = byLine(marks)
      this.problems.replaceChildren(...marks.map((each) => this.item(each)))
    }
    this.number()
  }

  item(mark) {
    const item = document.createElement("li")
    item.className = mark.error ? "error" : "warning"
    const sign = document.createElement("span")
    sign.className = "sign"
    sign.setAttribute("aria-hidden", "true")
    sign.textContent = mark.error ? "●" : "▲"
    const button = document.createElement("button")
    button.type = "button"
    button.disabled = !mark.line
    const place = document.createElement("span")
    place.className = "place"
    place.textContent = `${mark.place}: `
    button.append(place, mark.text)
    button.addEventListener("click", () => this.go(mark.line))
    item.append(sign, button)
    return item
  }

  go(line) {
    const lines = this.area.value.split("\n")
    const start = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0)
    this.area.focus()
    this.area.setSelectionRange(start, start + (lines[line - 1] ?? "").length)
    this.area.scrollTop = Math.max(0, (line - 1) * this.height() - this.area.clientHeight / 3)
    this.area.scrollLeft = 0
  }

  // --- the lines beside it

  height() {
    return parseFloat(getComputedStyle(this.area).lineHeight)
  }

  number() {
    const { value, scrollTop, clientHeight } = this.area
    this.total ??= count(value)
    this.frame.style.setProperty("--gutter", `${Math.max(3, String(this.total).length) + 3.5}ch`)
    const height = this.height()
    const inset = parseFloat(getComputedStyle(this.area).paddingTop)
    const first = Math.max(1, Math.floor((scrollTop - inset) / height))
    const last = Math.min(this.total, Math.ceil((scrollTop + clientHeight) / height) + 1)
    const lines = []
    for (let line = first; line <= last; line += 1) {
      const drawn = document.createElement("div")
      drawn.className = "line"
      drawn.style.top = `${inset + (line - 1) * height - scrollTop}px`
      const number = document.createElement("span")
      number.textContent = line
      drawn.append(number)
      const marks = this.marks.get(line)
      if (marks) {
        drawn.classList.add(marks.some((each) => each.error) ? "error" : "warning")
        drawn.title = marks.map((each) => each.text).join("\n")
      }
      lines.push(drawn)
    }
    this.lines.replaceChildren(...lines)
  }

  leave() {
    // Streamlit also calls this for a drawing that a newer one has overtaken.
    if (this.area.isConnected) return
    clearTimeout(this.timer)
    clearTimeout(this.patience)
    this.resized.disconnect()
  }
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text
}

function count(text) {
  let lines = 1
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) lines += 1
  return lines
}

function byLine(marks) {
  const found = new Map()
  for (const each of marks) found.set(each.line, [...(found.get(each.line) ?? []), each])
  return found
}
